"""`twistd pulp-streamer` as an operator meets it: how it starts, and how it refuses to."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from origins import Origin, serves
from processes import SCRIPTS, Streamer, get


def twistd(folder, *arguments, **variables):
    """Run `twistd -n pulp-streamer` where it is expected to end by itself."""
    clean = {name: value for name, value in os.environ.items() if "PULP_STREAMER" not in name}
    return subprocess.run(
        [SCRIPTS / "twistd", "-n", "--pidfile=", "pulp-streamer", *arguments],
        cwd=folder,
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PULP_STREAMER__DELIVERY__IDEL", "1s", "PULP_STREAMER__DELIVERY__IDLE"),
        ("PULP_STREAMER__DELIVERY__IDLE", "soon", "must be a time"),
        ("PULP_STREAMER__CONTENT__LISTEN", "tpc:1", "content.listen"),
        ("PULP_STREAMER__CATALOG__URL", "mysql://h/d", "postgresql://"),
    ],
    ids=["unknown setting", "not a time", "not an endpoint", "not a catalog"],
)
def test_wrong_setting_stops_the_start_with_one_line(variable, value, said, tmp_path):
    """It names the setting and what is allowed."""
    done = twistd(tmp_path, **{variable: value})

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_unknown_key_in_the_file_stops_the_start_with_one_line(tmp_path):
    """So does a key in the file; the file is named."""
    (tmp_path / "streamer.toml").write_text("[content]\nprefx = '/x'\n")

    done = twistd(tmp_path, "--config", "streamer.toml")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "content.prefx" in done.stderr


def test_file_that_is_no_catalog_stops_the_start_with_one_line(tmp_path):
    """It is refused as it is, and not overwritten."""
    file = tmp_path / "catalog.db"
    file.write_bytes(b"something else" * 1000)

    done = twistd(tmp_path, PULP_STREAMER__CATALOG__URL=f"sqlite:///{file}")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert file.read_bytes() == b"something else" * 1000


def test_taken_port_stops_the_start_with_one_line(tmp_path):
    """It names the setting and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = f"tcp:{port}:interface=127.0.0.1"
        done = twistd(tmp_path, PULP_STREAMER__CONTENT__LISTEN=listen)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"content.listen: cannot listen on {listen}" in done.stderr
    assert "Traceback" not in done.stdout


def test_text_log_has_one_line_for_each_exchange(tmp_path):
    """The default format is for people: request, status, verdict, then keys and values."""
    with Origin(serves(b"content")) as origin, Streamer(tmp_path, log__format="text") as service:
        service.publish("os", origin.url, {"file": b"content"})
        get(f"{service.url}os/file")
        get(f"{service.url}none")
        service.stop()

    lines = [line for line in service.log_text().splitlines() if "[streamer.transfer#info]" in line]
    assert len(lines) == 2
    assert '127.0.0.1 "GET /os/file" 200 complete bytes=7' in lines[0]
    assert '127.0.0.1 "GET /none" 404 refused' in lines[1]


def test_options_are_explained(tmp_path):
    """`--help` says where settings come from."""
    done = twistd(tmp_path, "--help")

    assert done.returncode == 0
    assert "PULP_STREAMER__SECTION__KEY" in done.stdout
