"""What the running service would do now for a path, asked over its admin endpoint, in words.

Separate because no other command talks to the service: everything else is in the catalog. The
answer is a help for an operator and never needed: where no service answers, or not in time, there
is a sentence instead. It takes no proxy of the environment and no answer without bounds.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

from streamer.cli.frame import size_text
from streamer.errors import OperationRefused
from streamer.health import OriginReport
from streamer.outlook import CandidateReport

ANSWER_SECONDS = 10.0
"""It may have to fetch a list of mirrors first, for 3 s unless `delivery.first_byte` is longer."""

MAX_ANSWER_BYTES = 4 * 1024**2

_ARGUMENT = re.compile(r"(?:[^:\\]|\\.)+")
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nobody listens


def asked_candidates(listen: str, path: str) -> list[CandidateReport]:
    """The candidates of a published path, by the service whose admin endpoint this is.

    Raises `OperationRefused` with a sentence where it cannot be asked or does not answer as it
    should.
    """
    url = _admin_url(listen)
    if url is None:
        raise OperationRefused(
            "the admin endpoint is not a tcp: endpoint, so the origins' health is not known"
        )
    try:
        return _asked(f"{url}?path={quote(path, safe='')}")
    except HTTPError as error:
        error.close()
        why = f"the service at {url} answers {error.code} for this path"
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        why = f"the service does not answer at {url}"
    raise OperationRefused(f"{why}, so the origins' health is not known")


def _asked(url: str) -> list[CandidateReport]:
    with build_opener(ProxyHandler({})).open(url, timeout=ANSWER_SECONDS) as answer:
        content = answer.read(MAX_ANSWER_BYTES)
    return [_report(**each) for each in json.loads(content)]


def _report(health: Any, **others: Any) -> CandidateReport:
    return CandidateReport(health=health and OriginReport(**health), **others)


def _admin_url(listen: str) -> str | None:
    """Where `/candidates` is, by the description of the endpoint; None where it is not TCP."""
    kind, *arguments = _ARGUMENT.findall(listen)
    if kind not in ("tcp", "tcp6"):
        return None
    values = dict(zip(("port", "interface"), arguments, strict=False))
    values = {name: value for name, value in values.items() if "=" not in value}
    values |= dict(each.split("=", 1) for each in arguments if "=" in each)
    interface = re.sub(r"\\(.)", r"\1", values.get("interface", ""))
    host = _ANYWHERE.get(interface, interface)
    return f"http://{f'[{host}]' if ':' in host else host}:{values.get('port')}/candidates"


def in_words(report: CandidateReport) -> str:
    """What an operator should know of a candidate, its name first."""
    if report.problem is not None:
        return f"{report.importer}, which is not asked: {report.problem}"
    against = [*_words_on_content(report), *_words_on_origin(report.health)]
    known = [*(against or ["no failure is remembered"]), *_words_on_rate(report.health)]
    return f"{report.importer} at {report.origin}; {', '.join(known)}"


def _words_on_content(report: CandidateReport) -> Iterator[str]:
    if report.sent_other_content:
        yield "is asked last because it sent other content than this"
    if report.lacks_it:
        yield "is not asked for this now because it said a moment ago that it lacks it"


def _words_on_origin(known: OriginReport | None) -> Iterator[str]:
    if known is None:
        return
    if known.failures:
        times = "once" if known.failures == 1 else f"{known.failures} times in a row"
        yield f"failed {times}, the last time with {known.last_error}"
    if known.state == "half_open":
        yield "one request finds out now whether it is well"
    elif known.asked_again_in_seconds:
        yield f"is left alone for {known.asked_again_in_seconds:.1f} s"
    if known.comes_last_for_seconds:
        yield f"comes last for {known.comes_last_for_seconds:.0f} s because another one was faster"
    if known.quarantined:
        yield f"sent wrong content for {known.quarantined} of its artifacts lately"


def _words_on_rate(known: OriginReport | None) -> Iterator[str]:
    """One figure: the two bounds lie apart where it was clients that were slow."""
    if known is None or known.at_least_bytes_per_second is None:
        return
    at_least, at_most = known.at_least_bytes_per_second, known.at_most_bytes_per_second or 0
    qualified = "" if at_most <= 2 * at_least else "at least "
    yield f"sent {qualified}{size_text(at_least)} a second lately"
