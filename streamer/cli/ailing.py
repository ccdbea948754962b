"""What the running service remembers of origins that failed lately, asked over its admin endpoint.

Separate because no other command talks to the service: everything else is in the catalog. The
answer is a help for an operator and never needed: where no service answers, or not in time, there
is a sentence instead. It takes no proxy of the environment and no answer without bounds.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit
from urllib.request import ProxyHandler, build_opener

from streamer.errors import OperationRefused
from streamer.health import OriginReport
from streamer.model import RemoteArtifact

ANSWER_SECONDS = 1.0
MAX_ANSWER_BYTES = 4 * 1024**2

_ARGUMENT = re.compile(r"(?:[^:\\]|\\.)+")
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nobody listens


def ailing_origins(listen: str) -> list[OriginReport]:
    """The reports of the service whose admin endpoint this is.

    Raises `OperationRefused` with a sentence where it cannot be asked or does not answer as it
    should.
    """
    url = _origins_url(listen)
    if url is None:
        raise OperationRefused(
            "the admin endpoint is not a tcp: endpoint, so the origins' health is not known"
        )
    unknown = OperationRefused(
        f"the service does not answer at {url}, so the origins' health is not known"
    )
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=ANSWER_SECONDS) as answer:
            content = answer.read(MAX_ANSWER_BYTES)
        return [OriginReport(**each) for each in json.loads(content)]
    except (OSError, http.client.HTTPException, ValueError, TypeError) as error:
        raise unknown from error


def _origins_url(listen: str) -> str | None:
    """Where `/origins` is, by the description of the endpoint; None where it is not TCP."""
    kind, *arguments = _ARGUMENT.findall(listen)
    if kind not in ("tcp", "tcp6"):
        return None
    values = dict(zip(("port", "interface"), arguments, strict=False))
    values = {name: value for name, value in values.items() if "=" not in value}
    values |= dict(each.split("=", 1) for each in arguments if "=" in each)
    interface = re.sub(r"\\(.)", r"\1", values.get("interface", ""))
    host = _ANYWHERE.get(interface, interface)
    return f"http://{f'[{host}]' if ':' in host else host}:{values.get('port')}/origins"


def reports_on(source: RemoteArtifact, reports: Sequence[OriginReport]) -> list[OriginReport]:
    """The reports that are about this source's origin.

    It is taken from the URLs, because to build the importer could need the operator's key; where
    they do not say, all reports on the importer are given.
    """
    importer = source.importer
    own = [each for each in reports if (each.importer_id, each.revision) == _pair(source)]
    origin = _place(urljoin(str(importer.config.get("url", "")), source.url))
    return [each for each in own if None in (origin, _place(each.origin)) or _is(each, origin)]


def _pair(source: RemoteArtifact) -> tuple[int, int]:
    return source.importer.id, source.importer.revision


def _is(report: OriginReport, origin: tuple[str, str, int | None] | None) -> bool:
    return _place(report.origin) == origin


def _place(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None where there is no host, or no such URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def in_words(report: OriginReport) -> str:
    """One sentence's part on what is known of an origin."""
    said = [f"{report.origin} failed {report.failures} times in a row"] if report.failures else []
    if report.last_error:
        said.append(f"the last time with {report.last_error}")
    if report.asked_again_in_seconds:
        said.append(f"is left alone for {report.asked_again_in_seconds:.1f} s")
    if report.state == "half_open":
        said.append("one request finds out now whether it is well")
    if report.quarantined:
        said.append(f"sent wrong content for {report.quarantined} of its artifacts lately")
    return ", ".join(said) or "was told to rest, and may be asked again"
