"""Services that differ in `range.unlearned` over one catalog, and how to read what they answer.

None of them learns pieces: those would answer all ranges alike.
"""

from __future__ import annotations

import contextlib
import email
import http.client

from processes import Streamer, get

MODES = ("auto", "verify", "pass", "refuse")


@contextlib.contextmanager
def services(folder, settings):
    """A running service for each name in `settings`; what one publishes all of them serve."""
    catalog_url = f"sqlite:///{folder}/catalog.db"
    with contextlib.ExitStack() as running:
        started = {}
        for name, own in settings.items():
            (folder / name).mkdir()
            streamer = Streamer(folder / name, catalog_url, pieces__enabled="false", **own)
            started[name] = running.enter_context(streamer)
        yield started


def modes(verify_up_to, **others):
    """Settings for a service of each value of `range.unlearned`."""
    limits = {"range__verify_up_to": verify_up_to, **others}
    return {mode: {"range__unlearned": mode, **limits} for mode in MODES}


def transfers_of(service, path):
    """The lines of the transfer log for a path, when no exchange is under way any more."""
    assert service.wait_for_metric("pulp_streamer_exchanges_in_flight", 0) == 0
    return [line for line in service.transfers() if line["path"] == path]


def fetch(url, **fields):
    """What `processes.get` gives, or None where the response broke off."""
    try:
        return get(url, **fields)
    except (http.client.HTTPException, ConnectionError):
        return None


def body_parts(fields, content):
    """The parts of a multipart/byteranges response: Content-Range and content of each.

    It is read by the parser for mail, which knows nothing of how it was written.
    """
    head = f"Content-Type: {fields['Content-Type']}\r\n\r\n".encode("latin-1")
    message = email.message_from_bytes(head + content)
    parts = message.get_payload()
    return [(part["Content-Range"], part.get_payload(decode=True)) for part in parts]
