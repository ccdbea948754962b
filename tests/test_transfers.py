"""The transfer log and the process log: what a line says, and what cannot be smuggled into one."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import sys

import pytest
from twisted.logger import Logger, LogPublisher, globalLogPublisher, textFileLogObserver
from twisted.python import usage
from twisted.python.reflect import namedAny

from streamer.logs import choose_json, json_line
from streamer.transfers import Transfer, TransferLog, json_object, text_line

EXAMPLE = Transfer(
    request_id="7f3a",
    client="203.0.113.7",
    method="GET",
    path="/fedora/40/os/Packages/b/bash.rpm",
    distribution="fedora/40/os",
    status=200,
    verdict="complete",
    reason=None,
    bytes=1048576,
    range=None,
    origin="fedora",
    attempts=1,
    verified="held_tail",
    source="origin",
    first_byte_ms=12.04,
    duration_ms=80.26,
)

INTERFACE_KEYS = [
    *("time", "request_id", "client", "method", "path", "distribution", "status", "verdict"),
    *("reason", "bytes", "range", "origin", "attempts", "verified", "source"),
    *("first_byte_ms", "duration_ms"),
]


@pytest.fixture
def events():
    """Collect what is logged while the test runs."""
    collected = []
    globalLogPublisher.addObserver(collected.append)
    yield collected
    globalLogPublisher.removeObserver(collected.append)


@pytest.fixture
def sigusr1():
    """Put the disposition of SIGUSR1 back after the test."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, before)


def logged_text(events):
    """Render events as `twistd` writes them."""
    output = io.StringIO()
    observer = textFileLogObserver(output, timeFormat=None)
    for event in events:
        observer(event)
    return output.getvalue()


def test_text_line_of_a_complete_transfer_leaves_absent_values_out():
    """A line holds the request in quotes, the status, the verdict and every value there is."""
    line = text_line(EXAMPLE)

    assert line == (
        '203.0.113.7 "GET /fedora/40/os/Packages/b/bash.rpm" 200 complete bytes=1048576 '
        'distribution="fedora/40/os" origin=fedora attempts=1 verified=held_tail source=origin '
        "first_byte_ms=12.0 duration_ms=80.3 request_id=7f3a"
    )


def test_text_line_without_a_status_shows_a_dash():
    """A client that went before the head leaves a line without a status."""
    line = text_line(dataclasses.replace(EXAMPLE, status=None, verdict="client_gone"))

    assert '"GET /fedora/40/os/Packages/b/bash.rpm" - client_gone bytes=' in line


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param('/a" 200 complete bytes=1', id="quote"),
        pytest.param("/a\n2026-01-01 forged", id="line feed"),
        pytest.param("/a\r\x1b[2Jforged", id="terminal escape"),
        pytest.param("/a\u2028forged\u202egnp", id="unicode line separator and bidi override"),
        pytest.param("/a\udcff\x7f", id="surrogate and delete"),
        pytest.param('/a\\" forged', id="backslash before a quote"),
    ],
)
@pytest.mark.parametrize("key", ["path", "client", "range", "reason", "request_id", "distribution"])
def test_text_line_with_hostile_text_stays_one_line_and_keeps_its_quotes(key, hostile):
    """No text from outside ends its own quotes, its line, or leaves printable ASCII."""
    line = text_line(dataclasses.replace(EXAMPLE, **{key: hostile}))

    outside_quotes = line.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    assert line.isascii()
    assert line.isprintable()
    assert not any("forged" in part for part in outside_quotes)
    assert 'bytes=1 "' not in line


def test_transfer_log_with_braces_in_the_path_writes_them_as_they_are(events):
    """A path is data to the log and never part of a format."""
    TransferLog().write(dataclasses.replace(EXAMPLE, path="/{log_source}/{0}/{transfer!r}"))

    assert '"GET /{log_source}/{0}/{transfer!r}" 200' in logged_text(events)
    assert [event["log_namespace"] for event in events] == ["streamer.transfer"]


def test_json_line_of_a_transfer_has_the_keys_of_the_interface_in_order(events):
    """A transfer becomes the keys of the transfer log and nothing else."""
    TransferLog().write(EXAMPLE)

    [line] = [json_line(event) for event in events]
    assert list(json.loads(line)) == INTERFACE_KEYS
    assert json.loads(line)["bytes"] == 1048576


def test_json_object_of_a_transfer_is_the_record_without_time():
    """The time belongs to the event, everything else to the record."""
    assert list(json_object(EXAMPLE)) == INTERFACE_KEYS[1:]


def test_json_line_with_hostile_text_is_one_line_of_ascii(events):
    """Line breaks and surrogates of a path are escaped, and come back when the line is read."""
    path = "/a\n\u2028\udcff{}"
    TransferLog().write(dataclasses.replace(EXAMPLE, path=path))

    [line] = [json_line(event) for event in events]
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["path"] == path


def test_json_line_of_a_plain_event_names_level_logger_and_message():
    """An event of any logger becomes time, level, logger and message."""
    event = {
        "log_time": 1767323045.0678,
        "log_level": None,
        "log_namespace": "streamer.catalog",
        "log_format": "opened {name}",
        "name": "a\nb",
    }

    assert json.loads(json_line(event)) == {
        "time": "2026-01-02T03:04:05.067Z",
        "level": "info",
        "logger": "streamer.catalog",
        "message": "opened a\nb",
    }


def test_json_line_of_a_failure_carries_its_traceback_as_one_text():
    """The traceback is one value, so the event stays one line."""
    collected = []
    logger = Logger(namespace="streamer.example", observer=LogPublisher(collected.append))
    try:
        raise ValueError("wrong")
    except ValueError:
        logger.failure("it broke")

    line = json_line(collected[0])
    assert json.loads(line)["level"] == "critical"
    assert json.loads(line)["failure"].splitlines()[-1] == "builtins.ValueError: wrong"
    assert line.count("\n") == 1


@pytest.mark.parametrize("option", ["logger", "syslog"])
def test_choose_json_with_an_observer_of_the_operators_changes_nothing(option):
    """What was said on the command line of `twistd` wins over the setting."""
    options = usage.Options()
    options[option] = "theirs"

    choose_json(options)

    assert dict(options) == {option: "theirs"}


def chosen(options):
    """The observer's factory, found by its name as `twistd` finds it."""
    choose_json(options)
    return namedAny(options["logger"])


@pytest.mark.parametrize("logfile", [None, "-"])
def test_observer_in_the_foreground_without_a_file_writes_to_standard_output(logfile, capsys):
    """`twistd -n` without `--logfile`, or with `-`, logs to standard output."""
    observer = chosen({"nodaemon": True, "logfile": logfile})()

    observer({"log_time": 0.0, "log_format": "hello"})

    assert json.loads(capsys.readouterr().out)["message"] == "hello"


def test_observer_of_a_daemon_told_to_use_standard_output_stops_the_start():
    """A daemon has no standard output, so the start ends with a sentence, as in `twistd`."""
    observer = chosen({"nodaemon": False, "logfile": "-"})

    with pytest.raises(SystemExit, match="Daemons cannot log to stdout"):
        observer()


@pytest.mark.usefixtures("sigusr1")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a log has no end
def test_observer_of_a_file_after_sigusr1_starts_a_new_file(tmp_path):
    """SIGUSR1 rotates the log before its next line."""
    path = tmp_path / "streamer.log"
    observer = chosen({"nodaemon": True, "logfile": str(path)})()

    observer({"log_time": 0.0, "log_format": "before"})
    os.kill(os.getpid(), signal.SIGUSR1)
    observer({"log_time": 0.0, "log_format": "after"})

    rotated = tmp_path / "streamer.log.1"
    messages = [json.loads(file.read_text())["message"] for file in (rotated, path)]
    assert messages == ["before", "after"]


@pytest.mark.usefixtures("sigusr1")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a log has no end
def test_observer_of_a_file_starts_no_new_one_by_its_size(tmp_path):
    """A stranger could otherwise have thousands of files renamed at each megabyte."""
    path = tmp_path / "streamer.log"
    observer = chosen({"nodaemon": True, "logfile": str(path)})()

    for _ in range(3):
        observer({"log_time": 0.0, "log_format": "x" * 600_000})

    assert list(tmp_path.iterdir()) == [path]


def test_standard_output_of_the_test_run_is_left_alone():
    """The observers above are built directly, so nothing has begun to log globally."""
    assert not type(sys.stdout).__module__.startswith("twisted")
