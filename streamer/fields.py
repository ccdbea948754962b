"""The header section: what is asked of an origin, and what a client is told.

Strategy. Nothing is passed on because nobody objected. A client's fields never reach an origin:
what an origin is sent is written here from nothing. An origin's fields reach a client only by an
allow list, and what the catalog knows is always said by the catalog. So ETag, Content-Length,
Content-Type and Last-Modified are the same from every origin, for HEAD, for GET and for 304
(invariant 10).

| direction | fields |
|---|---|
| to the origin | Accept-Encoding: identity, Via, CDN-Loop, User-Agent; the importer's own |
| from the origin | Content-Disposition, Content-Language, Link, X-* and Docker-* but these: |
| never from it | what steers a front (X-Accel-*, X-Sendfile …) or reveals one (X-Cache …) |
| passed through | its own account of its content as well: `relaying` says when and what for |

`identity` is asked for and Content-Encoding is not forwarded, since content is byte-exact: a
`.gz` file labelled `gzip` by an eager origin would otherwise be decoded by the client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from streamer import __version__
from streamer.errors import OriginAnsweredOtherwise, OriginError
from streamer.kinds import cache_control
from streamer.model import Artifact, Digest, Fields, PublishedArtifact
from streamer.partial_content import Selection
from streamer.preconditions import write_date

NAME = "pulp-streamer"

RETRY_AFTER_SECONDS = 10
"""What a 503 asks a client to wait where nothing better is known: the order of a package client's
own retry delay."""

MAX_FORWARDED = 50
"""Python's http.client, and what is made with it, takes no head of more than 100 fields."""

MAX_TOLD = 8
"""Of many failures the last ones are told: a front may take a head of 4 KiB and no more."""

Failure = tuple[str, OriginError]
"""A failed attempt: the importer's name and the error."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2

_FORWARDED = {"content-disposition", "content-language", "link"}
_SINGLE = ("Accept-Ranges", "Age", "Content-Type", "Date", "ETag", "Expires", "Last-Modified")
_LISTS = ("Cache-Control", "Content-Encoding", "Vary")
_FORWARDED_PREFIXES = ("x-", "docker-")
_NEVER_FORWARDED_PREFIXES = (
    # Steer nginx, Apache, Lighttpd and their kind: a field from an origin could make a front
    # serve its own files.
    "x-accel-",
    "x-sendfile",
    "x-lighttpd-",
    "x-litespeed-",
    "x-reproxy-",
    "x-rewrite-",
    "x-original-",
    "x-http-method",
    # Reveal or forge who serves, and how.
    "x-powered-by",
    "x-forwarded-",
    "x-real-ip",
    "x-cache",
    "x-served-by",
    "x-varnish",
    "x-backend",
    "x-runtime",
    "x-amz-",
    "x-aspnet",
    # Decide for the whole site of a client, not for one representation.
    "x-frame-options",
    "x-xss-protection",
    "x-content-type-options",
    "x-ua-compatible",
    "x-dns-prefetch-control",
    "x-robots-tag",
)
_NEVER_FORWARDED_WORDS = ("auth", "cookie", "credential", "key", "secret", "session", "token")
"""What an origin says in a field of such a name is between it and the importer."""

_REPR_DIGEST_NAMES = {"sha256": "sha-256", "sha512": "sha-512"}  # RFC 9530 section 5


def origin_request_fields(pseudonym: str) -> Fields:
    """The fields that every request to an origin carries; `pseudonym` names this service."""
    return (
        ("Accept-Encoding", "identity"),
        ("User-Agent", f"{NAME}/{__version__}"),
        ("Via", f"1.1 {pseudonym}"),
        ("CDN-Loop", pseudonym),
    )


def is_loop(pseudonym: str, via: Sequence[str], cdn_loop: Sequence[str]) -> bool:
    """Whether a request names this service among those it has passed.

    Via is a list of `protocol received-by (comment)` (RFC 9110 section 7.6.3), CDN-Loop one of
    names with parameters (RFC 8586).
    """
    passed = {member.split()[1] for member in _members(via) if len(member.split()) > 1}
    passed |= {member.split(";")[0].strip() for member in _members(cdn_loop)}
    return pseudonym in passed


def _members(values: Iterable[str]) -> Iterable[str]:
    return (member.strip() for value in values for member in value.split(","))


def forwardable(fields: Fields) -> Fields:
    """The origin's fields that a client may see: allowed by name, and fit to be written.

    An empty value is dropped too: treq adds an empty Content-Encoding to every response. So is what
    is more than `MAX_FORWARDED`, and what a plugin brings that no head can hold.
    """
    passing = (field for field in fields if _may_pass(field[0].lower(), field[1]))
    return tuple(islice(passing, MAX_FORWARDED))


def relayable(fields: Fields) -> Fields:
    """The same of an origin that answers itself, as that of a pass-through distribution does.

    What describes its representation and its caching passes too, however much else there is: the
    lines of a list as one, and a validator, date or type only if it is said once. What the length
    and the range are, the relay decides.
    """
    single = [(name, _values(fields, name)) for name in _SINGLE]
    lists = [(name, _values(fields, name)) for name in _LISTS]
    own = (
        *((name, values[0]) for name, values in single if len(values) == 1),
        *((name, ", ".join(filter(_is_writable_value, values))) for name, values in lists),
    )
    return (*(field for field in own if _is_writable(*field)), *forwardable(fields))


def _values(fields: Fields, wanted: str) -> list[str]:
    """All values of a field; a tab in them means no more than a space."""
    return [value.replace("\t", " ") for name, value in fields if name.lower() == wanted.lower()]


def _may_pass(name: str, value: str) -> bool:
    if name in _FORWARDED:
        allowed = True
    else:
        allowed = (
            name.startswith(_FORWARDED_PREFIXES)
            and not name.startswith(_NEVER_FORWARDED_PREFIXES)
            and not any(word in name for word in _NEVER_FORWARDED_WORDS)
        )
    return allowed and _is_writable(name, value)


def _is_writable(name: str, value: str) -> bool:
    return bool(_is_writable_value(value) and _TOKEN.fullmatch(name))


def _is_writable_value(value: str) -> bool:
    return bool(value) and value.isprintable() and max(value) <= "ÿ"


def entity_tag(artifact: Artifact) -> str:
    """The strong validator of an artifact: its digest, the same from every origin."""
    return f'"{artifact.digest}"'


def representation_fields(published: PublishedArtifact, *, now: float) -> Fields:
    """What the catalog alone says of a published artifact; common to GET, HEAD and 304."""
    grace_left = None if published.grace_until is None else published.grace_until - now
    return (
        ("ETag", entity_tag(published.artifact)),
        ("Last-Modified", write_date(published.last_modified)),
        ("Cache-Control", cache_control(published.cache, grace_left_seconds=grace_left)),
    )


def content_fields(selection: Selection, *, accepts_ranges: bool) -> Fields:
    """What the catalog says of the content itself; common to GET and HEAD.

    Repr-Digest is about the whole, also in a response that holds a part (RFC 9530 section 3).
    """
    return (
        *selection.fields,
        ("Accept-Ranges", "bytes" if accepts_ranges else "none"),
        *_repr_digest(selection.artifact.digests),
    )


def unverified(head: Fields) -> Fields:
    """The same head for content that nobody verified: no cache may keep it."""
    kept = (field for field in head if field[0] != "Cache-Control")
    return (*kept, ("Cache-Control", "no-store"))


def unsatisfiable_range(size: int) -> Fields:
    """What a 416 says of the length (RFC 9110 section 14.4)."""
    return (("Content-Range", f"bytes */{size}"),)


def _repr_digest(digests: Iterable[Digest]) -> Fields:
    members = [
        f"{_REPR_DIGEST_NAMES[digest.algorithm]}=:{digest.base64}:"
        for digest in digests
        if digest.algorithm in _REPR_DIGEST_NAMES
    ]
    return (("Repr-Digest", ", ".join(members)),) if members else ()


def gateway_fields(pseudonym: str) -> Fields:
    """What every response says of this service."""
    return (("Via", f"1.1 {pseudonym}"), ("X-Content-Type-Options", "nosniff"))


def error_fields(status: int, length: int, retry_after: int = RETRY_AFTER_SECONDS) -> Fields:
    """What goes with an error and its sentence; a 404 may be remembered for a little while.

    `retry_after` is in seconds, and told with a 503.
    """
    retry = (("Retry-After", str(retry_after)),) if status == 503 else ()
    allow = (("Allow", "GET, HEAD"),) if status == 405 else ()
    return (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(length)),
        ("Cache-Control", "max-age=30" if status == 404 else "no-store"),
        *retry,
        *allow,
    )


def folder_fields() -> Fields:
    """What is said of a folder's page and of the redirect to it: they change when one publishes."""
    return (
        ("Cache-Control", cache_control("mutable", grace_left_seconds=None)),
        *cache_status(hit=True),
    )


def cache_status(
    *,
    hit: bool,
    is_unverified: bool = False,
    is_proven: bool = False,
    failures: Sequence[Failure] = (),
) -> Fields:
    """RFC 9211: `hit` where no origin was asked, else a miss forwarded to one.

    The detail names the importers that failed before, and why in a word of RFC 9209. Content that
    `is_proven` is verified piece by piece before it is sent.
    """
    outcome = "hit" if hit else "fwd=uri-miss"
    tried = _last_told(f"{importer}: {failure.proxy_error}" for importer, failure in failures)
    if is_unverified:
        # One word that caches and people can rely on; Proxy-Status names the rest.
        detail = "; detail=unverified"
    else:
        detail = f"; detail={_string('; '.join(tried))}" if tried else ""
    if is_proven:
        outcome += "; verified=pieces"
    return (("Cache-Status", f"{NAME}; {outcome}{detail}"),)


def proxy_status(failures: Sequence[Failure], served_by: str | None = None) -> Fields:
    """RFC 9209: one member for each failure, naming the importer and never an address.

    What failed again in the same way is told once, as many attempts may say the same. Where one was
    `served_by` another importer after them, that is the last member.
    """
    members = _last_told(_proxy_status_member(name, failure) for name, failure in failures)
    if members and served_by is not None:
        members.append(f"{NAME}; next-hop={_string(served_by)}")
    return (("Proxy-Status", ", ".join(members)),) if members else ()


def _last_told(failures: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(failures)][-MAX_TOLD:]


def _proxy_status_member(importer: str, failure: OriginError) -> str:
    parameters = [f"error={failure.proxy_error}", f"next-hop={_string(importer)}"]
    if isinstance(failure, OriginAnsweredOtherwise):
        parameters.append(f"received-status={failure.received_status}")
    return "; ".join([NAME, *parameters, f"details={_string(str(failure))}"])


def _string(text: str) -> str:
    """A string of RFC 8941 section 3.3.3: visible ASCII, quotes and backslashes escaped."""
    visible = "".join(char if " " <= char <= "~" else "?" for char in text)
    return '"' + visible.replace("\\", "\\\\").replace('"', '\\"') + '"'
