"""Evaluate the conditions of a request against what the catalog knows, with no origin asked.

The entity tag of an artifact is its digest and therefore strong, so weak and strong comparison
differ only in what a client may write (RFC 9110 section 8.8.3.2). The date is strong as well as far
as it is ours: publishing gives content that has changed a later second (section 8.8.2.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

# RFC 9110 section 8.8.3: entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE. A comma may be an etagc, so
# a list of tags is searched, not split.
_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Condition(Enum):
    """What the conditions of a request come to."""

    HOLDS = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditional fields of a request, every line of those that are lists.

    A date that is repeated is None, like an absent one.
    """

    if_match: Sequence[str] = ()
    if_unmodified_since: str | None = None
    if_none_match: Sequence[str] = ()
    if_modified_since: str | None = None

    def evaluate(self, etag: str, last_modified: int) -> Condition:
        """Decide in the order of RFC 9110 section 13.2.2, for GET and HEAD.

        A list of tags decides instead of the date beside it; a date that cannot be read is ignored.
        """
        if self.if_match:
            if not any(_matches_strongly(value, etag) for value in self.if_match):
                return Condition.FAILED
        elif (limit := read_date(self.if_unmodified_since)) is not None and last_modified > limit:
            return Condition.FAILED
        if self.if_none_match:
            is_same = any(_matches_weakly(value, etag) for value in self.if_none_match)
        else:
            since = read_date(self.if_modified_since)
            is_same = since is not None and last_modified <= since
        return Condition.NOT_MODIFIED if is_same else Condition.HOLDS


def range_applies(if_range: Sequence[str], etag: str, last_modified: int) -> bool:
    """Whether a Range is to be honoured beside these If-Range lines (RFC 9110 section 13.1.5).

    A tag must be the very one, and a weak one never is; a date must be exactly ours. In doubt the
    whole is sent, which is right for every client.
    """
    if not if_range:
        return True
    if len(if_range) > 1:
        return False
    value = if_range[0].strip(" \t")
    return value == etag or read_date(value) == last_modified


def _matches_weakly(value: str, etag: str) -> bool:
    return value.strip() == "*" or etag in [tag for _, tag in _ENTITY_TAG.findall(value)]


def _matches_strongly(value: str, etag: str) -> bool:
    return value.strip() == "*" or ("", etag) in _ENTITY_TAG.findall(value)


def read_date(value: str | None) -> float | None:
    """Seconds since the epoch of an HTTP-date, or None where it is absent or not a date."""
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def write_date(seconds: float) -> str:
    """The IMF-fixdate of a moment (RFC 9110 section 5.6.7)."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
