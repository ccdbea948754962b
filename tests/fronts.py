"""Reverse proxies as operators put them in front: nginx and HAProxy, each a process of its own.

A `Front` listens on a free port and passes everything on to one service. Each keeps a single idle
connection to the service and hands it to whoever comes next, so that a request which spoilt that
connection is answered to a stranger, where a test can see it. What lies below `DENIED` a front
refuses by itself, so that nothing of it is had but by a request that the front did not see. Time
limits are short, since a test waits for them.
"""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request

from processes import free_port

STARTING_SECONDS = 30
DENIED = "secret"

_NGINX_FRAME = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    HTTP
}}
"""


def nginx_template(http):
    """The template of an nginx's configuration, with `http` in its section of that name."""
    return _NGINX_FRAME.replace("HTTP", http.strip())


_NGINX = nginx_template("""
    access_log off;
    client_header_timeout 1s;
    client_body_timeout 1s;
    keepalive_timeout 1s;
    proxy_cache_path {folder}/cache keys_zone=content:1m;
    upstream service {{
        server 127.0.0.1:{upstream};
        keepalive 1;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://service;
            proxy_http_version {version};
            proxy_set_header Connection "";
            proxy_cache content;
        }}
        location /{denied}/ {{ return 403; }}
    }}
""")

_HAPROXY = """
global
    nbthread 1
    maxconn 1024
defaults
    mode http
    timeout connect 5s
    timeout server 30s
    timeout client 2s
    timeout http-request 1s
    timeout http-keep-alive 1s
frontend clients
    bind 127.0.0.1:{port}
    {option}
    http-request deny if {{ path_beg /{denied}/ }}
    default_backend service
backend service
    http-reuse always
    server service 127.0.0.1:{upstream} pool-max-conn 1
"""


class Front:
    """A proxy in front of the service at a port; `with` it, clients find it at `url`."""

    def __init__(self, folder, command, config_name, config, **values):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._folder = folder
        self._command = command
        self._config = folder / config_name
        self._config.write_text(
            config.format(folder=folder, port=self.port, denied=DENIED, **values)
        )
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen(
            [*self._command, self._config], cwd=self._folder, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + STARTING_SECONDS
        while not _answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"{self._command[0]} does not answer: {self._config}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Stop the proxy, and whatever it is passing on."""
        self._process.terminate()
        self._process.wait(30)


def nginx(folder, upstream, version="1.1"):
    """An nginx that caches what a service sends, and asks for it in one version of HTTP."""
    command = ("nginx", "-p", folder, "-c")
    return Front(folder, command, "nginx.conf", _NGINX, upstream=upstream, version=version)


def haproxy(folder, upstream, passes_malformed=False):
    """An HAProxy; it may be told to pass on some requests that it would refuse."""
    option = "option accept-invalid-http-request" if passes_malformed else ""
    command = ("haproxy", "-q", "-db", "-f")
    return Front(folder, command, "haproxy.cfg", _HAPROXY, upstream=upstream, option=option)


def _answers(url):
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True
