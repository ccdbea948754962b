"""What is added to an operator's endpoint, and which left-over sockets are cleared away."""

from __future__ import annotations

import os
import socket

import pytest
from twisted.internet.endpoints import serverFromString

from streamer.endpoints import affordable_connections, clear_stale_socket, with_defaults


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("tcp:8751", "tcp:8751:backlog=1024"),
        ("tcp:8751:interface=127.0.0.1", "tcp:8751:interface=127.0.0.1:backlog=1024"),
        ("tcp:8751:backlog=7", "tcp:8751:backlog=7"),
        ("tcp:8751:127.0.0.1", "tcp:8751:127.0.0.1:backlog=1024"),
        ("tcp:8751:127.0.0.1:7", "tcp:8751:127.0.0.1:7"),
        ("tcp6:8751", "tcp6:8751:backlog=1024"),
        ("tcp6:8751:7", "tcp6:8751:7"),
        (r"tcp6:8751:interface=\:\:1", r"tcp6:8751:interface=\:\:1:backlog=1024"),
        ("unix:/run/a.sock", "unix:/run/a.sock:mode=660:backlog=1024"),
        ("unix:address=/run/a.sock", "unix:address=/run/a.sock:mode=660:backlog=1024"),
        ("unix:/run/a.sock:mode=600", "unix:/run/a.sock:mode=600:backlog=1024"),
        ("unix:/a:mode=666:lockfile=0", "unix:/a:mode=666:lockfile=0:backlog=1024"),
        ("unix:/run/a.sock:600", "unix:/run/a.sock:600:backlog=1024"),
        ("unix:/run/a.sock:600:7", "unix:/run/a.sock:600:7"),
        (r"unix:/run/a\:mode\=600", r"unix:/run/a\:mode\=600:mode=660:backlog=1024"),
        ("haproxy:tcp:8751", "haproxy:tcp:8751:backlog=1024"),
        ("haproxy:unix:/run/a.sock", "haproxy:unix:/run/a.sock:mode=660:backlog=1024"),
        ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
    ],
)  # fmt: skip
def test_what_the_operator_left_out_has_our_default(description, expected):
    """What the description says stays, named or by its position."""
    assert expected == with_defaults(description)


@pytest.mark.parametrize("description", ["tcp:0", "tcp6:0", "unix:/run/a.sock", "haproxy:tcp:0"])
def test_description_with_defaults_is_understood(reactor, description):
    """Twisted knows the arguments by the names that are added."""
    assert serverFromString(reactor, with_defaults(description)) is not None


@pytest.fixture
def place(tmp_path):
    """Where a socket may be."""
    return tmp_path / "a:b.sock"


@pytest.fixture
def description(place):
    escaped = str(place).replace(":", r"\:")
    return f"unix:{escaped}:mode=600"


def leave_a_socket(place):
    """Be the process that is killed: its lock names a process that lives, as it may by chance."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(place))
    place.with_name(f"{place.name}.lock").symlink_to(str(os.getpid()))


@pytest.mark.parametrize("prefix", ["", "haproxy:"])
def test_socket_that_nobody_answers_is_cleared_away(place, description, prefix):
    """The socket and its lock go, so that the next process can listen."""
    leave_a_socket(place)

    clear_stale_socket(prefix + description)

    assert [] == os.listdir(place.parent)


def test_socket_without_a_lock_is_cleared_away(place, description):
    """Other programs leave none."""
    leave_a_socket(place)
    place.with_name(f"{place.name}.lock").unlink()

    clear_stale_socket(description)

    assert [] == os.listdir(place.parent)


def test_socket_that_answers_stays(place, description):
    """A running service is not robbed of its clients."""
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(place))
        living.listen()

        clear_stale_socket(description)

        assert place.is_socket()


def test_socket_that_is_too_busy_to_answer_stays(place, description):
    """Asking does not wait in the queue of those who are connecting."""
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as first:
        living.bind(str(place))
        living.listen(0)
        first.connect(str(place))

        clear_stale_socket(description)

        assert place.is_socket()


def test_file_that_is_no_socket_stays(place, description):
    """A slip in the settings deletes nothing."""
    place.write_text("precious")

    clear_stale_socket(description)

    assert "precious" == place.read_text()


@pytest.mark.parametrize("other", ["tcp:8751", "systemd:domain=INET:index=0", "unix:/absent/a"])
def test_endpoint_without_a_socket_file_has_nothing_to_clear(other):
    """Nothing is looked for, and nothing is missed."""
    assert clear_stale_socket(other) is None


@pytest.mark.parametrize(
    ("wanted", "descriptors", "expected"),
    [
        pytest.param(4096, 1_048_576, 4096, id="plenty"),
        pytest.param(4096, 1024, 384, id="few"),
        pytest.param(4096, 8448, 4096, id="just-enough"),
        pytest.param(4096, 64, 1, id="none-to-spare"),
    ],
)
def test_no_more_clients_are_admitted_than_descriptors_allow(wanted, descriptors, expected):
    """Two for each client, beside what the process needs itself."""
    assert expected == affordable_connections(wanted, descriptors)
