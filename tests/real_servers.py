"""Servers as operators run them, in the places that a service asks: an nginx and a tinyproxy.

Each is a process of its own on a free port, and its log says what it was asked for and by whom.
"""

from __future__ import annotations

import re

from fronts import Front

_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
    log_format asked '$request_uri|$connection|$ssl_client_s_dn|$http_authorization|$status';
    access_log {folder}/asked.log asked;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {server_file};
        ssl_certificate_key {server_file};
        ssl_client_certificate {folder}/clients.pem;
        ssl_verify_client on;
        ssl_verify_depth 2;
        root {folder}/content;
    }}
}}
"""

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
