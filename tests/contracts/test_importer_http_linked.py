"""The built-in type `http` under the contract where it learns mirrors, which every answer names.

A source then has several places. What is checked is asked of its own one; the mirrors are taken in
with each answer, and nobody has to be asked for them.
"""

from __future__ import annotations

import pytest
from importer_contract import ImporterContract
from origins import Origin
from pytest_twisted import ensureDeferred
from test_importer_http import Relayed, answers, insists, subject_of

from streamer.errors import OriginUnreachable

LINKS = b"".join(
    b"Link: <http://192.0.2.%d/f>; rel=duplicate; pri=%d\r\n" % (number, number)
    for number in range(1, 10)
)


def links(behaviour):
    """The same origin, which names mirrors in each head."""

    def linking(talk):
        talk.connection = _Linking(talk.connection)
        return behaviour(talk)

    return linking


class _Linking:
    """A connection whose first line is followed by the links."""

    def __init__(self, connection):
        self._connection = connection
        self._begins = True

    def sendall(self, content):
        if self._begins and b"\r\n" in content:
            self._begins = False
            line, rest = content.split(b"\r\n", 1)
            content = line + b"\r\n" + LINKS + rest
        self._connection.sendall(content)

    def __getattr__(self, name):
        return getattr(self._connection, name)


class TestLinked(ImporterContract, Relayed):
    """Over TCP."""

    @pytest.fixture
    def subject(self, reactor, free_port):
        with Origin(links(insists(answers()))) as origin:
            nobody = f"http://127.0.0.1:{free_port()}/f"
            refused = [(nobody, OriginUnreachable)]
            yield subject_of(reactor, origin, refused, allow_linked_mirrors=True)

    @ensureDeferred
    async def test_subject_has_several_places(self, subject):
        """Else what is checked here is checked elsewhere."""
        importer = subject.make_importer()
        (own,) = await importer.downloaders(subject.source)
        (await own.open()).stop()
        places = await importer.downloaders(subject.source)
        await importer.close()

        assert len(places) == 1 + LINKS.count(b"rel=duplicate")
