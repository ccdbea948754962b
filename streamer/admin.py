"""The operator's endpoint: health, readiness, metrics, ailing origins and a status page.

It listens apart from content, because the namespace of clients is content only (invariant 8).
Nothing here streams, so Klein serves it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from html import escape

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from streamer import __version__
from streamer.errors import CatalogError, PathNotPublished, RequestRefused
from streamer.front import DoorSite
from streamer.health import OriginReport
from streamer.interfaces import Catalog
from streamer.metrics import CONTENT_TYPE, Metrics
from streamer.outlook import CandidateReport
from streamer.settings import ContentSettings
from streamer.target import read_target

MAX_CONNECTIONS = 128
"""Probes and scrapers, and a few people."""

STALL_SECONDS = 60

MAX_SHOWN_ORIGINS = 50
"""On the status page; `/origins` has more."""

_ORIGIN_COLUMNS = (
    "origin",
    "importer",
    "breaker",
    "failures in a row",
    "last error",
    "may be asked",
    "comes last",
    "quarantined artifacts",
)

_PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>pulp-streamer</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 1rem/1.5 system-ui, sans-serif;
max-width: 48rem; margin: 2rem auto; padding: 0 1rem }} th {{ text-align: left; font-weight: 500;
padding-right: 2rem; vertical-align: top }} td {{ padding-right: 1rem; vertical-align: top }}
h2 {{ font-size: 1.2rem }}</style></head><body><h1>pulp-streamer {version}</h1>
<table>{rows}</table><h2>Origins that failed lately, or were too slow</h2>{origins}
<p><a href="metrics">metrics</a> · <a href="healthz">health</a> · <a href="readyz">readiness</a> ·
<a href="origins">origins</a></p></body></html>
"""


@dataclass(frozen=True, slots=True)
class Status:
    """What the operator's pages ask of the running service, each question a call."""

    catalog: Catalog
    metrics: Metrics
    in_flight: Callable[[], int]
    connections: Callable[[], int]
    is_draining: Callable[[], bool]
    broken_importers: Callable[[], list[str]]
    uptime_seconds: Callable[[], float]
    origins: Callable[[], list[OriginReport]]
    candidates: Callable[[str], Awaitable[list[CandidateReport]]]


class AdminApp:
    """`/healthz`: the process answers. `/readyz`: it can serve, so traffic may be sent here."""

    app = Klein()
    app.url_map.merge_slashes = False

    def __init__(self, status: Status) -> None:
        self._status = status

    @app.route("/healthz", methods=["GET"])
    def health(self, request: IRequest) -> bytes:
        """200 as long as the process answers, with what an operator should know of."""
        broken = self._status.broken_importers()
        return _text(
            request, 200, "\n".join(["ok", *(f"broken importer {each}" for each in broken)])
        )

    @app.route("/readyz", methods=["GET"])
    async def readiness(self, request: IRequest) -> bytes:
        """200 if the catalog answers and the service is not stopping, else 503 and why."""
        if self._status.is_draining():
            return _text(request, 503, "the service stops")
        problem = await self._catalog_problem()
        return _text(request, 503 if problem else 200, problem or "ready")

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: IRequest) -> bytes:
        """The Prometheus exposition."""
        request.setHeader(b"content-type", CONTENT_TYPE.encode())
        return self._status.metrics.exposition()

    @app.route("/origins", methods=["GET"])
    def origins(self, request: IRequest) -> bytes:
        """What is remembered of origins, as a JSON list; of the others nothing is known."""
        return _json(request, self._status.origins())

    @app.route("/candidates", methods=["GET"])
    async def candidates(self, request: IRequest) -> bytes:
        """Whom an exchange for the published `?path=` would ask, in this order, as a JSON list."""
        try:
            path = request.args[b"path"][0].decode()
            return _json(request, await self._status.candidates(path))
        except (KeyError, UnicodeDecodeError):
            return _text(request, 400, "the path is missing or not UTF-8")
        except (PathNotPublished, CatalogError) as error:
            return _text(request, error.status, str(error))

    @app.route("/", methods=["GET"])
    async def page(self, request: IRequest) -> bytes:
        """The state of the service at a glance."""
        status = self._status
        facts = {
            "catalog": await self._catalog_problem() or "answers",
            "running exchanges": str(status.in_flight()),
            "client connections": str(status.connections()),
            "state": "stopping" if status.is_draining() else "serving",
            "up for": f"{status.uptime_seconds():.0f} s",
            "broken importers": "; ".join(status.broken_importers()) or "none",
        }
        rows = "".join(f"<tr><th>{escape(k)}<td>{escape(v)}" for k, v in facts.items())
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        origins = _origins_table([each for each in status.origins() if each.is_ailing])
        return _PAGE.format(version=escape(__version__), rows=rows, origins=origins).encode()

    async def _catalog_problem(self) -> str | None:
        try:
            await self._status.catalog.check()
        except CatalogError as error:
            return str(error)
        return None


def _origins_table(reports: list[OriginReport]) -> str:
    if not reports:
        return "<p>none</p>"
    shown = reports[:MAX_SHOWN_ORIGINS]
    rows = "".join(f"<tr>{''.join(map(_cell, _origin_row(each)))}" for each in shown)
    left_out = len(reports) - len(shown)
    more = f"<p>and {left_out} more</p>" if left_out else ""
    names = "".join(f"<th>{name}" for name in _ORIGIN_COLUMNS)
    return f"<table><tr>{names}{rows}</table>{more}"


def _cell(value: object) -> str:
    return f"<td>{escape(str(value))}"


def _origin_row(report: OriginReport) -> tuple[object, ...]:
    wait, lag = report.asked_again_in_seconds, report.comes_last_for_seconds
    return (
        report.origin,
        f"{report.importer} (revision {report.revision})",
        report.state.replace("_", " "),
        report.failures,
        report.last_error or "",
        f"in {wait:.0f} s" if wait else "now",
        f"for {lag:.0f} s" if lag else "",
        report.quarantined,
    )


def _text(request: IRequest, status: int, sentence: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    request.setHeader(b"cache-control", b"no-store")
    return f"{sentence}\n".encode()


def _json(request: IRequest, reports: Iterable[OriginReport | CandidateReport]) -> bytes:
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return json.dumps([asdict(each) for each in reports]).encode()


class _AdminRoot(Resource):
    """What stands before Klein, which logs a traceback for a path that is not UTF-8."""

    isLeaf = True

    def __init__(self, pages: IResource) -> None:
        super().__init__()
        self._pages = pages

    def render(self, request: Request) -> bytes | int:
        request.responseHeaders.removeHeader(b"server")
        try:
            read_target(request.path)
        except RequestRefused as refusal:
            return _text(request, refusal.status, refusal.told)
        answer: bytes | int = self._pages.render(request)
        return answer


class AdminSite(DoorSite):
    """The factory of the operator's endpoint: the door of `front`, which logs no refusals here."""

    limit_name = "the admin endpoint's limit"

    def __init__(self, pages: IResource, reactor: IReactorTime) -> None:
        super().__init__(
            _AdminRoot(pages),
            ContentSettings(max_connections=MAX_CONNECTIONS),
            reactor,
            stall_seconds=STALL_SECONDS,
            on_refusal=lambda client, status: None,
        )
