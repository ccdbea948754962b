"""Mirrors of one repository behind an nginx, each on a port of its own: right ones and bad ones.

A mirror is a folder of files and what its section of the configuration says beside that. One log
says what each was asked, and with which credentials. Who does not answer at all is no nginx: at
`refusing_base()` nobody listens, and a `Blackhole` is where connections are never made.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from typing import NamedTuple

from fronts import Front, nginx_template
from processes import free_port, get

WRITING_SECONDS = 20

_KIT = "/asked-by-the-kit-"

_NGINX = nginx_template("""
    log_format asked '$server_port|$request_method|$request_uri|$status|$body_bytes_sent|'
        '$http_range|$http_authorization|$http_x_key|$http_cookie';
    access_log {folder}/asked.log asked;
    default_type application/octet-stream;
    server {{ listen 127.0.0.1:{port}; }}
    {mirrors}
""")

_MIRROR = "server {{ listen 127.0.0.1:{port}; root {folder}/content; {own} }}\n"


class Asked(NamedTuple):
    """One request as the log has it; an absent field is a dash."""

    method: str
    target: str
    status: str
    sent_bytes: int
    range: str
    authorization: str
    key: str
    cookie: str


class NginxMirrors(Front):
    """Mirrors by their names, of `{name: {path: content}}`; `own` are directives for some of them.

    The path of a mirror's base is its name.
    """

    def __init__(self, folder, mirrors, own=None):
        self._log_file = folder / "asked.log"
        self._numbers = itertools.count()
        self.ports = {name: free_port() for name in mirrors}
        for name, files in mirrors.items():
            for path, content in files.items():
                file = folder / "content" / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        sections = "".join(
            _MIRROR.format(port=port, folder=folder, own=(own or {}).get(name, ""))
            for name, port in self.ports.items()
        )
        command = ("nginx", "-p", folder, "-c")
        super().__init__(folder, command, "nginx.conf", _NGINX, mirrors=sections)

    def origin(self, name):
        """Scheme, host and port of a mirror."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def base(self, name):
        """The URL that a list has for a mirror."""
        return f"{self.origin(name)}/{name}/"

    def asked(self, name):
        """What a mirror was asked for and has answered, in order; targets without its base."""
        lines = [line.split("|") for line in self.log_text().splitlines()]
        return [
            Asked(method, target.removeprefix(f"/{name}/"), status, int(sent_bytes), *fields)
            for port, method, target, status, sent_bytes, *fields in lines
            if port == str(self.ports[name])
        ]

    def targets(self, name):
        """What a mirror was asked for, in order."""
        return [each.target for each in self.asked(name)]

    def log_text(self):
        """All that the log holds by now.

        nginx writes a line when it has answered; so one more request is made, and waited for.
        """
        last = f"{_KIT}{next(self._numbers)}"
        get(f"{self.url}{last[1:]}")
        deadline = time.monotonic() + WRITING_SECONDS
        while f"{last}|" not in (text := self._log_file.read_text()):
            assert time.monotonic() < deadline, "the log does not go on"
            time.sleep(0.01)
        return text


def refusing_base():
    """The base of a mirror whose port nobody listens on, nor will: it is of another address."""
    return f"http://127.0.0.9:{free_port()}/"


class Blackhole:
    """An address where nobody answers: what comes to it is dropped, as by a firewall."""

    def __init__(self):
        self._sockets = contextlib.ExitStack()
        self._listener = self._sockets.enter_context(socket.socket())
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    def __enter__(self):
        """Fill the queue of connections that nobody takes: of more the kernel knows nothing."""
        while self._has_room():
            pass
        return self

    def __exit__(self, *_):
        self._sockets.close()

    def _has_room(self):
        waiting = self._sockets.enter_context(socket.socket())
        waiting.settimeout(0.5)
        try:
            waiting.connect(self._listener.getsockname())
        except TimeoutError:
            return False
        return True
