"""An nginx as an origin of plain files: entity tags, conditions, ranges and listings of folders.

It serves a folder `content`, of which only `REPOSITORY` is what an importer points to: what lies
beside that is there to be found by whoever gets out. Its log says what it was asked, raw.
"""

from __future__ import annotations

import itertools
import time
from typing import NamedTuple

from fronts import Front, nginx_template
from processes import get

REPOSITORY = "repository"
WRITING_SECONDS = 20

_KIT = "/asked-by-the-kit-"

_NGINX = nginx_template("""
    log_format asked '$request_method|$request_uri|$http_range|$http_if_range|$http_if_none_match|'
        '$http_authorization|$http_cookie|$http_accept_encoding|$status';
    access_log {folder}/asked.log asked;
    default_type application/octet-stream;
    types {{ text/plain txt; }}
    {zone}
    server {{
        {limit}
        listen 127.0.0.1:{port};
        root {folder}/content;
        autoindex on;
        add_header Cache-Control "max-age=77";
        add_header Set-Cookie "of=the-origin";
    }}
""")


_ZONE = "limit_req_zone $server_port zone=all:1m rate={per_second}r/s;"
_LIMIT = "limit_req zone=all burst={at_once} nodelay; limit_req_status 429;"


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
    """Files by their paths below the repository; `outside` lies beside it.

    With `takes`, as many requests in a second, and as many at once, it answers more with 429.
    """

    def __init__(self, folder, files, outside=b"", takes=None):
        self._log_file = folder / "asked.log"
        content = folder / "content"
        for path, data in {f"{REPOSITORY}/{name}": each for name, each in files.items()}.items():
            file = content / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        (content / "outside.txt").write_bytes(outside)
        command = ("nginx", "-p", folder, "-c")
        super().__init__(folder, command, "nginx.conf", _NGINX, **_limits(takes))
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


def _limits(takes):
    if takes is None:
        return {"zone": "", "limit": ""}
    per_second, at_once = takes
    return {
        "zone": _ZONE.format(per_second=per_second),
        "limit": _LIMIT.format(at_once=at_once),
    }
