"""Mirrors that origins named in Link fields, remembered for the sources that they were named for.

Whose word is taken is decided where answers come in (`access`): that of the origin which an
operator named, and of nobody that it leads to. Here is what of it is kept, for how long, and how
much. Which Link names a duplicate, and which URL can be asked at all, `mirrors` has read.

A link is taken for no more than a redirect would be: not from https to http. One to the source's
own origin, or a second one to some other, is left out, because health is kept by origin: if such a
copy were missing or wrong, the copy that an operator named would be given up with it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from cachetools import TTLCache

from streamer.downloaders.credentials import Origin, origin_of
from streamer.downloaders.redirects import STATUSES, is_downgrade
from streamer.mirrors import linked_mirrors
from streamer.model import OriginResponse

MAX_MIRRORS = 10
"""Of one source; the ones of the best priority. MirrorBrain names as many."""

LIFETIME_SECONDS = 3600.0
"""How long a mirror is asked when its origin says nothing more, as while it is down."""

MAX_BYTES = 16 * 1024**2
"""Of one importer, which is about ten thousand sources. Beyond it those unused for longest go."""

ENTRY_BYTES = 1024
"""What Python needs for one source, with its URL, beside the mirrors' URLs."""

_SCHEMES = frozenset({"http", "https"})
_ABOUT_THE_SOURCE = STATUSES | {200, 206}
"""What stands in another answer, an error say, is not about what was asked for (RFC 8288 3.2)."""


class LearnedMirrors:
    """The mirrors of one importer's sources, by the URLs under which these are asked for."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._kept: TTLCache[str, tuple[str, ...]] = TTLCache(
            MAX_BYTES, LIFETIME_SECONDS, timer=now, getsizeof=_bytes
        )

    def hear(self, url: str, response: OriginResponse) -> None:
        """Take in what the origin of `url` answered when it was asked for that.

        The last answer that names mirrors counts; one that names none changes nothing.
        """
        if response.status in _ABOUT_THE_SOURCE and (found := _elsewhere(url, response)):
            self._kept[url] = found

    def of(self, url: str) -> tuple[str, ...]:
        """Where else that content lies, the best place first."""
        return self._kept.get(url, ())


def _elsewhere(url: str, response: OriginResponse) -> tuple[str, ...]:
    found: dict[Origin, str] = {}
    for mirror in linked_mirrors(response.fields, _SCHEMES):
        if not is_downgrade(url, mirror.url):
            found.setdefault(origin_of(mirror.url), mirror.url)
    found.pop(origin_of(url), None)
    return tuple(islice(found.values(), MAX_MIRRORS))


def _bytes(urls: tuple[str, ...]) -> int:
    return ENTRY_BYTES + sum(map(len, urls))
