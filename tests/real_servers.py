"""Servers as operators run them, in the places that a service asks: nginx, tinyproxy and squid.

Each is a process of its own on a free port, and its log says what it was asked for and by whom.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from fronts import Front, nginx_template

_NGINX = nginx_template("""
    log_format asked '$request_uri|$connection|$ssl_client_s_dn|$http_authorization|$status';
    access_log {folder}/asked.log asked;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {server_file};
        ssl_certificate_key {server_file};
        ssl_client_certificate {folder}/clients.pem;
        ssl_verify_client on;
        ssl_verify_depth 2;
        root {folder}/content;
    }}
""")

_TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
Allow 127.0.0.1
MaxClients 100
LogFile "{folder}/tinyproxy.log"
LogLevel Connect
PidFile "{folder}/tinyproxy.pid"
BasicAuth {username} {password}
"""


_SQUID = """
http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
coredump_dir {folder}
cache_log {folder}/squid.log
logformat asked %rm %ru %>Hs
access_log stdio:{folder}/asked.log asked
cache deny all
pinger_enable off
shutdown_lifetime 0 seconds
auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/passwords
auth_param basic children 1
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""
_SQUIDS_USER = "proxy"
"""Whom it runs as if root starts it: who may not look into a folder of the tests."""


class NginxOrigin(Front):
    """An origin over TLS that wants a client certificate of an authority; `content` is its root."""

    def __init__(self, folder, server, clients):
        """`server` signs its own certificate, `clients` those that it accepts."""
        (folder / "clients.pem").write_text(clients.pem)
        self.content = folder / "content"
        self.content.mkdir()
        self._log_file = folder / "asked.log"
        values = {"server_file": server.server_file(folder)}
        super().__init__(folder, ("nginx", "-p", folder, "-c"), "nginx.conf", _NGINX, **values)
        self.origin_url = f"https://127.0.0.1:{self.port}/"

    def asked(self):
        """Target, connection, subject of the certificate, Authorization and status, in order.

        Without what was no TLS, as the question whether it is up.
        """
        lines = [line.split("|") for line in self._log_file.read_text().splitlines()]
        return [tuple(line) for line in lines if (line[0], line[-1]) != ("/", "400")]


class Tinyproxy(Front):
    """A forward proxy that wants one user name and password."""

    def __init__(self, folder, username, password):
        self._log_file = folder / "tinyproxy.log"
        values = {"username": username, "password": password}
        command = ("tinyproxy", "-d", "-c")
        super().__init__(folder, command, "tinyproxy.conf", _TINYPROXY, **values)

    def log_text(self):
        """All that it has written."""
        return self._log_file.read_text()

    def asked(self):
        """Method and target of each request for somebody else that it took, in order."""
        return re.findall(r"Request \(file descriptor \d+\): (\S+) ([^/]\S*) HTTP", self.log_text())


class Squid(Front):
    """A forward proxy that wants one user name and password, and says so as the RFC has it."""

    def __init__(self, username, password):
        self._temporary = TemporaryDirectory(prefix="squid-")
        folder = Path(self._temporary.name)
        # It knows passwords by their MD5, in hexadecimal.
        digest = hashlib.md5(password.encode()).hexdigest()
        (folder / "passwords").write_text(f"{username}:{digest}\n")
        if os.geteuid() == 0:
            shutil.chown(folder, _SQUIDS_USER)
        super().__init__(folder, ("squid", "-N", "-f"), "squid.conf", _SQUID)
        self._files = [folder / "asked.log", folder / "squid.log"]

    def __exit__(self, *_):
        super().__exit__()
        self._temporary.cleanup()

    def log_text(self):
        """All that it has written; it is stopped, for it notes a tunnel when that has ended."""
        self.stop()
        return "".join(file.read_text() for file in self._files)

    def asked(self):
        """Method and target of each request for somebody else that it took; it is stopped."""
        return re.findall(r"^(\S+) ([^/]\S*) 200$", self.log_text(), re.MULTILINE)
