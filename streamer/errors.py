"""Every exception of the service, arranged by whose fault it is.

The branch says who is to blame, the class attributes what follows from it:

- `status` is what a client is told if this error alone decides;
- `outcome` says what an attempt that failed so means to the plan;
- `may_recover` whether the same origin may do better a moment later, so that it is asked again;
- `is_suspicion` whether nobody knows yet if the origin did wrong, so that others are asked first;
- `counts_against` whether it speaks against the origin as such, and not only about this content;
- `proxy_error` is the RFC 9209 error type that `Proxy-Status` carries: the one that says what is
  the matter, else `http_protocol_error`, which section 2.3.28 keeps for what has no other type.

Arguments are data; `__str__` makes the sentence. No message ever holds a credential or a URL,
because a URL may hold one.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import ClassVar

NOT_OURS = (KeyboardInterrupt, GeneratorExit)
"""What goes on whatever a plugin does; some frameworks end a task or a process by another that is
no `Exception`, and that harms no other."""


class Outcome(Enum):
    """How an attempt at an origin ended, ordered by how hopeful a later retry is."""

    BUSY = 503
    SLOW = 504
    BAD = 502
    MISSING = 404


class StreamerError(Exception):
    """Never raised itself."""

    status: ClassVar[int] = 500
    sentence: ClassVar[str] = "the service failed"

    @property
    def told(self) -> str:
        """What a client may read: all of it, but for what concerns the operator alone."""
        return str(self)

    def __str__(self) -> str:
        return self.sentence.format(*self.args)


# -- the client's side: raised before anything is sent, answered with a plain status ------------


class RequestRefused(StreamerError):
    """The request cannot be answered, whatever the origins say."""

    status = 400
    sentence = "the request is not acceptable: {0}"


class TargetMalformed(RequestRefused):
    """The request target is not a path that could ever have been published."""

    sentence = "the request target is malformed: {0}"


class PathNotPublished(RequestRefused):
    """Nothing is published at this path, or it was withdrawn."""

    status = 404
    sentence = "nothing is published at this path"


class MethodNotAllowed(RequestRefused):
    """Content can be fetched with GET and HEAD and in no other way (RFC 9110 section 15.5.6)."""

    status = 405
    sentence = "only GET and HEAD are possible here"


class ResumeRefused(RequestRefused):
    """A client may hold a wrong beginning of this artifact and asks for the rest (invariant 1).

    A client that resumes would join the two into a complete and wrong file.
    """

    status = 502
    sentence = (
        "the content broke off unverified a short while ago, so a partial copy of it may be "
        "wrong: fetch it again from the first byte"
    )


class PartRefused(RequestRefused):
    """Right by itself, a part is not completed beside unverified content that a client got.

    It may hold wrong bytes from another transfer, which it could join to this part.
    """

    status = 502
    sentence = (
        "this client got other parts of the content that are not verified, so this one is not "
        "completed: ask for it again"
    )


class PreconditionFailed(RequestRefused):
    """If-Match or If-Unmodified-Since does not hold (RFC 9110 section 15.5.13)."""

    status = 412
    sentence = "what is published here is not what the request is conditional on"


class RangeNotSatisfiable(RequestRefused):
    """No requested range begins within the content (RFC 9110 section 15.5.17)."""

    status = 416
    sentence = "no requested range lies within the {0} bytes of this content"

    @property
    def size(self) -> int:
        """The complete length, which a Content-Range tells the client."""
        return int(self.args[0])


class LoopDetected(RequestRefused):
    """The request came through this service already (RFC 9110 section 7.6.3, RFC 5842 7.2)."""

    status = 508
    sentence = "the request came through this service already"


class LengthUnknown(RequestRefused):
    """HTTP/1.0 has no way to show that content of unknown size was cut (RFC 9112 section 8)."""

    status = 502
    sentence = "the size of this content is not known, which HTTP/1.0 cannot transfer safely"


# -- the origin's side: each of these is the outcome of one attempt ------------------------------


class OriginError(StreamerError):
    """One origin failed at one attempt; another origin may do better."""

    status = 502
    outcome: ClassVar[Outcome] = Outcome.BAD
    proxy_error: ClassVar[str] = "http_protocol_error"
    may_recover: ClassVar[bool] = False
    is_suspicion: ClassVar[bool] = False
    counts_against: ClassVar[bool] = False
    sentence = "the origin failed"

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the origin is to be left alone, where somebody said so."""
        return None


class OriginUnreachable(OriginError):
    """No connection came about: the name is unknown, the port refuses, the network is down."""

    may_recover = True
    counts_against = True
    proxy_error = "destination_unavailable"
    sentence = "no connection to the origin: {0}"


class OriginProhibited(OriginUnreachable):
    """A URL leads where nobody is asked: to an address that is not public, or to no server at all.

    It will do so the next time, and says nothing of whoever else is there.
    """

    may_recover = False
    counts_against = False


class OriginTLSFailed(OriginError):
    """The origin's certificate or TLS handshake is not acceptable."""

    counts_against = True
    proxy_error = "tls_protocol_error"
    sentence = "the origin's TLS is not acceptable: {0}"


class ProxyFailed(OriginError):
    """The proxy on the way to the origin refuses, wants other credentials, or talks nonsense."""

    may_recover = True
    counts_against = True
    proxy_error = "destination_unavailable"
    sentence = "the proxy on the way to the origin does not help: {0}"


class ProxyRefused(ProxyFailed):
    """The proxy wants other credentials, or does not allow this; asking again would be the same."""

    may_recover = False


class TokenRefused(OriginError):
    """The token service that the origin names gave no token."""

    counts_against = True
    proxy_error = "destination_unavailable"
    sentence = "the origin's token service gave no token: {0}"


class MirrorListUnusable(OriginError):
    """What came is no list of mirrors, or names none that can be used."""

    may_recover = True
    proxy_error = "destination_unavailable"
    sentence = "the list of mirrors is not usable: {0}"


class OriginTimedOut(OriginError):
    """The origin did not answer within the budget for the first byte."""

    may_recover = True
    counts_against = True
    status = 504
    outcome = Outcome.SLOW
    proxy_error = "connection_timeout"
    sentence = "the origin did not answer in time"


class OriginSilent(OriginError):
    """The origin stopped sending in the middle of the content."""

    may_recover = True
    counts_against = True
    status = 504
    outcome = Outcome.SLOW
    proxy_error = "connection_read_timeout"
    sentence = "the origin sent nothing for {0:g} s"


class OriginTooSlow(OriginError):
    """The origin sends next to nothing, and another one went on with its content.

    Its argument is what it sent in a second. The origin may be well and far away, and the transfer
    did not end; so it is counted and told to operators, and never raised.
    """

    may_recover = True
    status = 504
    outcome = Outcome.SLOW
    proxy_error = "http_response_timeout"
    sentence = "the origin sent no more than {0:.0f} bytes in a second"


class OriginCrowded(OriginError):
    """The importer's own limits leave no turn: too many wait for one, or it took too long to come.

    Its argument is how many downloads of the importer have a turn at a time.
    """

    status = 503
    outcome = Outcome.BUSY
    proxy_error = "connection_limit_reached"
    sentence = "no turn came: all {0} of the importer are taken, or its rate is used up"


class OriginAvoided(OriginError):
    """Not asked at all: it failed too often lately, or wants to be left alone for a while.

    Its argument is the number of seconds until it is asked again.
    """

    status = 503
    outcome = Outcome.BUSY
    proxy_error = "destination_unavailable"
    sentence = "the origin failed lately and is asked again in {0:.0f} s"

    @property
    def retry_after_seconds(self) -> float | None:
        return float(self.args[0])


class RedirectRefused(OriginError):
    """The origin redirects to where nobody follows: in a circle, to plain HTTP, inside a network.

    Its argument says which, without the URL.
    """

    sentence = "the origin's redirect is not followed: {0}"


class OriginAnsweredOtherwise(OriginError):
    """The origin answered with another status than 200. Never raised itself.

    Its arguments are that status, and the seconds that it asked for with Retry-After, or None.
    """

    sentence = "the origin answered {0}"

    @property
    def retry_after_seconds(self) -> float | None:
        found = self.args[1] if len(self.args) > 1 else None
        return None if found is None else float(found)

    @property
    def received_status(self) -> int:
        """The status that the origin sent."""
        return int(self.args[0])


class OriginLacksIt(OriginAnsweredOtherwise):
    """The origin says 404 or 410: what the catalog promises is not there."""

    status = 404
    outcome = Outcome.MISSING


class OriginBusy(OriginAnsweredOtherwise):
    """The origin says 429: it wants fewer requests, later."""

    status = 503
    outcome = Outcome.BUSY
    may_recover = True
    proxy_error = "destination_unavailable"


class OriginFailing(OriginAnsweredOtherwise):
    """The origin says 5xx, or 408 and 425, which mean the same to us: it may do better later."""

    may_recover = True
    counts_against = True


class OriginForbids(OriginAnsweredOtherwise):
    """The origin says 401 or 403: ours to solve, so never passed on and not tried again."""


class OriginRefused(OriginAnsweredOtherwise):
    """Any other status."""


class OriginNonsense(OriginError):
    """What the origin sent is not of its protocol, or cannot be trusted."""

    may_recover = True
    sentence = "the origin's answer is not usable: {0}"


class ContentTruncated(OriginError):
    """The transfer broke before the length that the origin itself had announced."""

    may_recover = True
    proxy_error = "http_response_incomplete"
    sentence = "the origin broke off after {0} bytes"


class PieceDoubted(OriginError):
    """A piece is not what is said of it, and nobody knows who is wrong.

    It may be the list of mirrors that says it, or another origin that sent the beginning.
    """

    may_recover = True
    is_suspicion = True
    sentence = "the piece that begins at byte {0} is not as it should be, by somebody's fault"


class ContentMismatch(OriginError):
    """The content is not what the catalog promises. Never raised itself."""


class SizeMismatch(ContentMismatch):
    """More or fewer bytes than promised, found out in the head or in the content."""

    sentence = "{0} bytes were promised, the origin sends {1}"


class DigestMismatch(ContentMismatch):
    """All bytes came and their digest is another one."""

    sentence = "the digest {0} was promised, the content has {1}"


class PieceMismatch(ContentMismatch):
    """A piece of learned content is another one; nothing of it was used, and one origin sent it."""

    # Others first: it is quarantined. One that is alone may have a fault that comes and goes.
    may_recover = True
    sentence = "the piece that begins at byte {0} is not what was learned of it"


class ContentChanged(ContentMismatch):
    """Two answers of one origin, meant for one response, are about different content."""

    sentence = "the origin's content changed between two ranges of it"


class BeginningMismatch(ContentMismatch):
    """A client resumes what it got from an earlier transfer, and that was of other content."""

    sentence = "an earlier transfer had other content in its first {0} bytes: one of them is wrong"


class NoOriginServed(StreamerError):
    """Every attempt of an exchange failed before its head; what is said follows from all of them.

    Its only argument is the tuple of `(importer's name, OriginError)`, one for each attempt;
    `plan.final_status` gives the status.
    """

    status = 502

    @property
    def failures(self) -> tuple[tuple[str, OriginError], ...]:
        """The attempts in their order."""
        attempts: tuple[tuple[str, OriginError], ...] = self.args[0]
        return attempts

    def __str__(self) -> str:
        counts = Counter(f"{name}: {error}" for name, error in self.failures)
        reasons = (f"{why} ({n} times)" if n > 1 else why for why, n in counts.items())
        return "; ".join(reasons) or "this entry has no source that could be asked"


# -- the client went or stopped reading: there is nobody to tell, so these have no status -------


class ClientStalled(StreamerError):
    """The client took nothing for as long as `delivery.client_stall` allows."""

    sentence = "the client read nothing for {0:g} s"


# -- ours: the catalog ---------------------------------------------------------------------------


class CatalogError(StreamerError):
    """The catalog cannot answer. Never raised itself."""

    status = 503

    @property
    def told(self) -> str:
        return "the catalog is not reachable"


class CatalogUnavailable(CatalogError):
    """The database is away, busy beyond its time limit, or the queue before it is full."""

    sentence = "the catalog is not reachable: {0}"


class CatalogUnusable(CatalogError):
    """The database is there and is not a catalog of this version. The message says what to do."""

    status = 500
    sentence = "{0}"


# -- ours: configuration ---------------------------------------------------------------------------


class ConfigurationError(StreamerError):
    """Something an operator set cannot work; found at start where possible."""

    sentence = "{0}"

    @property
    def told(self) -> str:
        return "the service is not set up to serve this"


class SettingInvalid(ConfigurationError):
    """A setting is unknown or has a value that is not allowed: name, what is allowed."""

    sentence = "{0}: {1}"


class KeyUnusable(ConfigurationError):
    """The operator's key is missing, unreadable or not the one that a secret was sealed with.

    The message says which and what to do, and nothing of a key.
    """


class ImporterBroken(ConfigurationError):
    """An importer's type is missing or its stored config is not accepted."""

    sentence = "importer {0!r} cannot be used: {1}"


# -- ours: an operation of the admin command that was refused and changed nothing ---------------


class OperationRefused(StreamerError):
    """What was asked for cannot be done; the message says why and what to do instead."""

    sentence = "{0}"


class EntryRejected(StreamerError):
    """A line of a manifest or an entries file is wrong: line number, what, why."""

    sentence = "line {0}: {1}"
