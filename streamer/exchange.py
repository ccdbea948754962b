"""The heart: one coroutine for one client request, from its path to its last byte.

Strategy. The four verbs in their order: **resolve** what the path promises, **plan** which origins
may serve it, **open** one, **pipe** its verified content. What can be answered without an origin
is answered here, before one is asked: a folder, a condition, a HEAD. `ordering` says what a Range
comes to; the rest is `delivery`'s, or `passing`'s where an importer stands for a distribution.

This module sees ports and the pump, never an adapter. It raises what it cannot answer; `app`
renders that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer import fields, listing
from streamer.delivery import Delivery
from streamer.errors import (
    LoopDetected,
    MethodNotAllowed,
    PathNotPublished,
    PreconditionFailed,
)
from streamer.interfaces import Catalog
from streamer.model import Fields, Folder, PassThrough, PublishedArtifact
from streamer.ordering import Ordering
from streamer.passing import Passing
from streamer.preconditions import Condition, Preconditions, range_applies
from streamer.response import Response
from streamer.target import below_base_path, folder_location, is_query, read_target
from streamer.transfers import Notes
from streamer.verification import Verification

PAGE_NAMES = 1000
"""Names on one page of a listing: a page of about 100 KiB, a few milliseconds of look-ups."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client (its host) asks, as it wrote it: raw path and query, its `after`, fields."""

    client: str
    method: str
    raw_path: bytes
    raw_query: bytes
    after: str
    values: Callable[[str], Sequence[str]]
    """All values of a field of the request, in order."""

    def value(self, name: str) -> str | None:
        """The only value of a field; None where it is absent or repeated."""
        values = self.values(name)
        return values[0] if len(values) == 1 else None


class Exchange:
    """Answers requests; holds what all of them share and nothing of any one of them."""

    def __init__(
        self,
        catalog: Catalog,
        ordering: Ordering,
        delivery: Delivery,
        verification: Verification,
        passing: Passing,
        *,
        now: Callable[[], float],
        prefix: str,
        listings: bool,
        pseudonym: str,
    ) -> None:
        self._catalog = catalog
        self._ordering = ordering
        self._delivery = delivery
        self._verification = verification
        self._passing = passing
        self._now = now
        self._prefix = prefix
        self._listings = listings
        self._pseudonym = pseudonym

    async def answer(self, asked: Asked, response: Response, notes: Notes) -> None:
        """Send the whole response; returns when its last byte is on the way.

        Raises a `StreamerError` that is to be rendered if `response` is still before its head,
        and that has broken the connection already if not. Cancelling it means that the client is
        gone; nothing is left behind.
        """
        if asked.method not in ("GET", "HEAD"):
            raise MethodNotAllowed
        if fields.is_loop(self._pseudonym, asked.values("Via"), asked.values("CDN-Loop")):
            raise LoopDetected
        path = read_target(asked.raw_path, self._prefix)
        self._guard(asked, path)
        found = await self._resolve(path, asked.after)
        if isinstance(found, Folder):
            self._send_folder(found, asked, response, notes)
            return
        notes.distribution = found.base_path
        if isinstance(found, PassThrough):
            await self._pass_through(found, path, asked, response, notes)
        else:
            await self._send_artifact(found, asked, response, notes)

    def _guard(self, asked: Asked, path: str) -> None:
        """Where guards will refuse a client its distribution; every client is admitted so far."""

    # -- resolve

    async def _resolve(self, path: str, after: str) -> PublishedArtifact | PassThrough | Folder:
        """Find an artifact, or the folder that is meant; `index.html` stands for its folder.

        Where an origin is passed through to, it decides what a folder is; none is listed here.
        """
        is_folder = path == "" or path.endswith("/")
        try:
            return await self._catalog.resolve(f"{path}index.html" if is_folder else path)
        except PathNotPublished:
            if is_folder and not self._listings:
                raise
        if is_folder:
            return await self._catalog.list_folder(path, after, PAGE_NAMES)
        if self._listings:
            return await self._catalog.list_folder(f"{path}/", "", 1)
        await self._catalog.resolve(f"{path}/index.html")
        return Folder(f"{path}/", (), more=False)

    def _send_folder(self, folder: Folder, asked: Asked, response: Response, notes: Notes) -> None:
        notes.source = "catalog"
        # The path of the root below a prefix is empty, with and without its slash.
        if not asked.raw_path.endswith(b"/"):
            self._redirect(folder_location(asked.raw_path), asked, response)
            return
        accepts = ",".join(asked.values("Accept"))
        if "application/json" in accepts:
            content, media_type = listing.render_json(folder), "application/json"
        else:
            content = listing.render_html(folder, prefix=self._prefix, after=asked.after)
            media_type = "text/html; charset=utf-8"
        page_fields = (
            ("Content-Type", media_type),
            ("Vary", "Accept"),
            ("Content-Security-Policy", listing.CONTENT_SECURITY_POLICY),
        )
        self._send_whole(response, asked, 200, page_fields, content)

    def _redirect(self, location: str, asked: Asked, response: Response) -> None:
        self._send_whole(response, asked, 302, (("Location", location),), b"")

    def _send_whole(
        self, response: Response, asked: Asked, status: int, own: Fields, content: bytes
    ) -> None:
        length = ("Content-Length", str(len(content)))
        common = fields.gateway_fields(self._pseudonym) + fields.folder_fields()
        response.send_head(status, (length, *own, *common))
        if asked.method == "GET":
            response.write(content)
        response.end()

    # -- what an origin answers itself

    async def _pass_through(
        self, found: PassThrough, path: str, asked: Asked, response: Response, notes: Notes
    ) -> None:
        keeps_query = found.keeps_query and is_query(asked.raw_query)
        query = f"?{asked.raw_query.decode('ascii')}" if keeps_query else ""
        if path == found.base_path:
            notes.source = "catalog"
            self._redirect(folder_location(asked.raw_path) + query, asked, response)
            return
        target = below_base_path(asked.raw_path, self._prefix, found.base_path) + query
        await self._passing.relay(found, target, asked.method, asked.values, response, notes)

    # -- conditions, and what the catalog can answer alone

    async def _send_artifact(
        self, published: PublishedArtifact, asked: Asked, response: Response, notes: Notes
    ) -> None:
        head = (
            *fields.representation_fields(published, now=self._now()),
            *fields.gateway_fields(self._pseudonym),
        )
        etag, last_modified = fields.entity_tag(published.artifact), published.last_modified
        condition = _preconditions(asked).evaluate(etag, last_modified)
        if condition is Condition.FAILED:
            raise PreconditionFailed
        if condition is Condition.NOT_MODIFIED:
            self._send_head_alone(304, head, response, notes)
            return
        # Range means something to GET alone (RFC 9110 section 14.2).
        applies = asked.method == "GET" and range_applies(
            asked.values("If-Range"), etag, last_modified
        )
        table = None
        if not published.held:
            table = await self._verification.table(published.artifact)
        order = self._ordering.order(
            published, asked.values("Range") if applies else (), asked.client, table
        )
        if asked.method == "HEAD":
            self._send_head_alone(200, (*order.content_fields, *head), response, notes)
        else:
            await self._delivery.deliver(order, head, response, notes)

    def _send_head_alone(self, status: int, head: Fields, response: Response, notes: Notes) -> None:
        notes.source = "catalog"
        response.send_head(status, (*head, *fields.cache_status(hit=True)))
        response.end()


def _preconditions(asked: Asked) -> Preconditions:
    return Preconditions(
        if_match=asked.values("If-Match"),
        if_unmodified_since=asked.value("If-Unmodified-Since"),
        if_none_match=asked.values("If-None-Match"),
        if_modified_since=asked.value("If-Modified-Since"),
    )
