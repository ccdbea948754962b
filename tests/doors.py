"""A content endpoint in memory: the real door, and behind it a resource that the test holds.

Time is a `Clock`; a client is a `Wire`.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from wire import Wire

from streamer.front import DoorSite
from streamer.settings import ContentSettings

HEAD_SECONDS = 15
KEEP_ALIVE_SECONDS = 60
STALL_SECONDS = 45


class Echo(Resource):
    """Answers with the path, at once or when the test says so."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.requests = []
        self.answers_at_once = True

    def render(self, request):
        self.requests.append(request)
        if self.answers_at_once:
            self.answer(request)
        return NOT_DONE_YET

    def answer(self, request):
        request.setHeader(b"content-length", b"%d" % len(request.path))
        request.write(request.path)
        request.finish()


class Door:
    """A content endpoint and the clients that connect to it."""

    def __init__(self, **settings):
        self.clock = Clock()
        self.resource = Echo()
        self.refusals = []
        self.site = DoorSite(
            self.resource,
            ContentSettings(
                head_timeout_seconds=HEAD_SECONDS,
                keep_alive_seconds=KEEP_ALIVE_SECONDS,
                **settings,
            ),
            self.clock,
            stall_seconds=STALL_SECONDS,
            on_refusal=lambda client, status: self.refusals.append((client, status)),
        )

    def connect(self):
        return Wire(self.site, self.clock)

    def paths(self):
        return [request.path for request in self.resource.requests]
