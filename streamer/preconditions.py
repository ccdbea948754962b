"""Evaluate the conditions of a request against what the catalog knows, with no origin asked.

The entity tag of an artifact is its digest and therefore strong, so weak and strong comparison
differ only in what a client may write (RFC 9110 section 8.8.3.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# RFC 9110 section 8.8.3: entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE. A comma may be an etagc, so
# a list of tags is searched, not split; weak comparison looks at the quoted part alone.
_OPAQUE_TAG = re.compile(r'("[\x21\x23-\x7e\x80-\xff]*")')


def is_not_modified(
    etag: str,
    last_modified: int,
    *,
    if_none_match: Sequence[str] = (),
    if_modified_since: str | None = None,
) -> bool:
    """Whether a GET or HEAD with these conditions is answered 304 (RFC 9110 section 13.2.2).

    If-None-Match, when there, decides alone; a date that cannot be read is ignored.
    """
    if if_none_match:
        return any(_matches(value, etag) for value in if_none_match)
    since = read_date(if_modified_since)
    return since is not None and last_modified <= since


def _matches(value: str, etag: str) -> bool:
    return value.strip() == "*" or etag in _OPAQUE_TAG.findall(value)


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
