"""The tree of exceptions, the table in `docs/errors.md`, and what messages may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer import errors
from streamer.errors import NoOriginServed, OriginError, OriginTimedOut, Outcome, StreamerError
from streamer.model import Digest

DOCUMENT = Path(__file__).parent.parent / "docs" / "errors.md"

RFC_9209_TYPES = """
dns_timeout dns_error destination_not_found destination_unavailable
destination_ip_prohibited destination_ip_unroutable connection_refused connection_terminated
connection_timeout connection_read_timeout connection_write_timeout connection_limit_reached
tls_protocol_error tls_certificate_error tls_alert_received http_request_error
http_request_denied http_response_incomplete http_response_header_section_size
http_response_header_size http_response_body_size http_response_trailer_section_size
http_response_trailer_size http_response_transfer_coding http_response_content_coding
http_response_timeout http_upgrade_failed http_protocol_error proxy_internal_response
proxy_internal_error proxy_configuration_error proxy_loop_detected
"""
REGISTERED = frozenset(RFC_9209_TYPES.split())
"""The proxy error types of RFC 9209 section 2.3."""

NOT_FORWARDED = {"http_request_denied", "proxy_internal_response", "proxy_loop_detected"}
"""Types which say that no origin was asked: never the case for the outcome of an attempt."""

EXAMPLES = {
    "RequestRefused": ("it has content",),
    "TargetMalformed": ("it is not UTF-8",),
    "OriginUnreachable": ("its name is not known",),
    "OriginProhibited": ("its address is not public",),
    "OriginTLSFailed": ("verification failed",),
    "ProxyFailed": ("it answered 502",),
    "ProxyRefused": ("it answered 407",),
    "TokenRefused": ("it answered 401",),
    "MirrorListUnusable": ("it is a web page",),
    "OriginSilent": (30.0,),
    "OriginTooSlow": (20480.0,),
    "OriginCrowded": (10,),
    "OriginAvoided": (12,),
    "RedirectRefused": ("it leads in a circle",),
    "OriginAnsweredOtherwise": (500,),
    "OriginLacksIt": (410,),
    "OriginBusy": (429,),
    "OriginFailing": (503,),
    "OriginForbids": (403,),
    "OriginRefused": (402,),
    "OriginNonsense": ("it is not HTTP",),
    "ContentTruncated": (5,),
    "BeginningMismatch": (3,),
    "RangeNotSatisfiable": (3,),
    "SizeMismatch": (3, 4),
    "PieceDoubted": (65536,),
    "PieceMismatch": (65536,),
    "DigestMismatch": (Digest("sha256", "ab"), Digest("sha256", "cd")),
    "NoOriginServed": ((("fedora", OriginTimedOut()),),),
    "ClientStalled": (60.0,),
    "CatalogUnavailable": ("connection refused",),
    "CatalogUnusable": ("run `catalog upgrade`",),
    "ConfigurationError": ("url: must be absolute",),
    "SettingInvalid": ("delivery.idle", "must be a time"),
    "KeyUnusable": ("secrets.key_file is not set",),
    "ImporterBroken": ("fedora", "there is no such type"),
    "OperationRefused": ("it is in use",),
    "EntryRejected": (7, "has no digest"),
}
"""Arguments as the code gives them; an error that is not here takes none."""


def tree(root=StreamerError):
    """Every exception from `root` on."""
    return [root, *(leaf for branch in root.__subclasses__() for leaf in tree(branch))]


ERRORS = [error for error in tree() if error.__module__ == errors.__name__]
ORIGIN_ERRORS = [error for error in ERRORS if issubclass(error, OriginError)]
every_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
every_origin_error = pytest.mark.parametrize(
    "error", ORIGIN_ERRORS, ids=lambda error: error.__name__
)


def documented():
    """The rows of the table, by the name of the error."""
    lines = DOCUMENT.read_text().splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: tuple(row[1:]) for row in rows if hasattr(errors, row[0])}


def as_row(error):
    """What the table should say of an error, but for its meaning."""
    is_outcome = issubclass(error, OriginError)
    return (
        "" if error is StreamerError else error.__base__.__name__,
        str(error.status),
        error.outcome.name if is_outcome else "",
        error.proxy_error if is_outcome else "",
    )


def example(error):
    return error(*EXAMPLES.get(error.__name__, ()))


def test_table_has_every_error_and_no_other():
    """An error that nobody documented, or that is gone, is noticed."""
    assert [error.__name__ for error in ERRORS] == list(documented())


@every_error
def test_table_says_what_the_code_does(error):
    """Branch, status, outcome and proxy error are those of the class."""
    assert as_row(error) == documented()[error.__name__][:4]


@every_error
def test_table_says_what_each_error_means(error):
    """No meaning is left out."""
    assert documented()[error.__name__][4] != ""


@every_error
def test_docstring_says_what_the_error_is(error):
    """The class is documented where it stands."""
    assert (error.__doc__ or "") != ""


@every_error
def test_message_is_one_printable_sentence(error):
    """It goes into a field, a log line and a terminal."""
    message = str(example(error))

    assert message != ""
    assert message.isprintable()
    assert "{" not in message


@every_error
def test_message_makes_use_of_every_argument(error):
    """What is known is said."""
    arguments = EXAMPLES.get(error.__name__, ())

    shown = [f"{each:g}" if isinstance(each, float) else str(each) for each in arguments]

    if error is not NoOriginServed:
        assert all(text in str(example(error)) for text in shown)


@every_error
def test_own_words_of_a_message_hold_no_url_and_no_placeholder_for_one(error):
    """Nothing that a sentence adds to its arguments looks like a URL."""
    assert "://" not in error.sentence
    assert "@" not in error.sentence


@every_origin_error
def test_proxy_error_is_registered(error):
    """RFC 9209 2.3: clients and fronts know the types of the registry and no others."""
    assert error.proxy_error in REGISTERED


@every_origin_error
def test_proxy_error_does_not_say_that_nobody_was_asked(error):
    """RFC 9209 2.3: an attempt was forwarded, so a type that denies it would mislead."""
    assert error.proxy_error not in NOT_FORWARDED


@every_origin_error
def test_status_of_an_attempt_is_that_of_its_outcome(error):
    """An error alone and the plan over one attempt agree."""
    assert error.status == error.outcome.value


def test_outcomes_are_ordered_from_the_most_hopeful():
    """The order decides which status several attempts come to."""
    assert [outcome.value for outcome in Outcome] == [503, 504, 502, 404]


def test_failure_of_all_origins_names_each_importer_with_its_reason():
    """Whoever reads the log sees every attempt in its order."""
    error = NoOriginServed((("a", errors.OriginLacksIt(404)), ("b", errors.OriginTimedOut())))

    assert str(error) == "a: the origin answered 404; b: the origin did not answer in time"


def test_failure_that_came_again_is_told_once():
    """With its count, in the place of the first; other reasons stand for themselves."""
    away = errors.OriginUnreachable("its name is not known")

    error = NoOriginServed((("a", away), ("b", errors.OriginLacksIt(404)), ("a", away)))

    expected = (
        "a: no connection to the origin: its name is not known (2 times); "
        "b: the origin answered 404"
    )
    assert expected == str(error)


def test_failure_without_an_origin_says_so():
    """An entry without sources has its own sentence."""
    assert str(NoOriginServed(())) == "this entry has no source that could be asked"
