"""An nginx as an origin of plain files: entity tags, conditions, ranges and listings of folders.

It serves a folder `content`, of which only `REPOSITORY` is what an importer points to: what lies
beside that is there to be found by whoever gets out. Its log says what it was asked, raw.
"""

from __future__ import annotations

import itertools
import time
from typing import NamedTuple

from fronts import Front
from processes import get

REPOSITORY = "repository"
WRITING_SECONDS = 20

_KIT = "/asked-by-the-kit-"

_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
    log_format asked '$request_method|$request_uri|$http_range|$http_if_range|$http_if_none_match|'
        '$http_authorization|$http_cookie|$http_accept_encoding|$status';
    access_log {folder}/asked.log asked;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    types {{ text/plain txt; }}
    server {{
        listen 127.0.0.1:{port};
        root {folder}/content;
        autoindex on;
        add_header Cache-Control "max-age=77";
        add_header Set-Cookie "of=the-origin";
    }}
}}
"""


class Asked(NamedTuple):
    """One request as the log has it; an absent field is a dash."""

    method: str
    target: str
    range: str
    if_range: str
    if_none_match: str
    authorization: str
    cookie: str
    accept_encoding: str
    status: str


class NginxFiles(Front):
    """Files by their paths below the repository; `outside` lies beside it."""

    def __init__(self, folder, files, outside):
        self._log_file = folder / "asked.log"
        content = folder / "content"
        for path, data in {f"{REPOSITORY}/{name}": each for name, each in files.items()}.items():
            file = content / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        (content / "outside.txt").write_bytes(outside)
        super().__init__(folder, ("nginx", "-p", folder, "-c"), "nginx.conf", _NGINX)
        self._numbers = itertools.count()
        self.repository_url = f"{self.url}{REPOSITORY}/"

    def asked(self):
        """Everything that it was asked for so far, in order, but by this kit.

        nginx writes a line when it has answered; so one more request is made, and waited for.
        """
        last = f"{_KIT}{next(self._numbers)}"
        get(f"{self.url}{last[1:]}")
        deadline = time.monotonic() + WRITING_SECONDS
        while last not in (text := self._log_file.read_text()):
            assert time.monotonic() < deadline, "the log does not go on"
            time.sleep(0.01)
        asked = [Asked(*line.split("|")) for line in text.splitlines()]
        return [each for each in asked if each.target != "/" and not each.target.startswith(_KIT)]
