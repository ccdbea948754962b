"""Issue 6, line 4: pieces that a metalink claims, right and wrong, behind nginx and before curl.

A right claim heals what would else break off visibly. A wrong one makes no wrong content pass, and
no right content fail: neither that of its own publication nor, of the same content, another's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random

import pytest
from judging import BREAK, RIGHT, outcome_of
from nginx_mirrors import NginxMirrors
from origins import flipped
from processes import get, sha256
from secrecy import SealingStreamer, Secrets
from written_lists import METALINK, ListService

PIECE = 256 * 1024
SIZE = 5 * PIECE + 12_345
AT_70_PERCENT = SIZE * 7 // 10
WRONG_PIECE = AT_70_PERCENT // PIECE * PIECE

_METALINK = """\
<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="disk.iso"><size>{size}</size>
<pieces length="{length}" type="sha-1">{hashes}</pieces>{urls}</file></metalink>
"""


def pieces_of(content):
    digests = (
        hashlib.sha1(content[at : at + PIECE]).hexdigest() for at in range(0, len(content), PIECE)
    )
    return "".join(f"<hash>{each}</hash>" for each in digests)


def metalink(bases, hashes):
    """A list of mirrors, the first one the best, that claims these pieces of the file."""
    urls = "".join(
        f'<url priority="{place}">{base}disk.iso</url>' for place, base in enumerate(bases, 1)
    )
    return _METALINK.format(size=SIZE, length=PIECE, hashes=hashes, urls=urls).encode()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service; nothing that a list claims may end in a traceback."""
    with SealingStreamer(tmp_path_factory.mktemp("service")) as streamer:
        yield streamer
        assert streamer.tracebacks() == []


@pytest.fixture
def content(request):
    """Of the test's own, so that no other has learned it."""
    return random.Random(request.node.name).randbytes(SIZE)


@pytest.fixture
def mirrors(tmp_path):
    """Start an nginx with a mirror for each name, which has this content of the file."""
    with contextlib.ExitStack() as running:

        def mirrors(**contents):
            files = {name: {"disk.iso": each} for name, each in contents.items()}
            (tmp_path / "nginx").mkdir()
            return running.enter_context(NginxMirrors(tmp_path / "nginx", files))

        yield mirrors


@pytest.fixture
def publish(service, request, tmp_path):
    """Publish the content from the mirrors of a metalink; give its URL."""
    with contextlib.ExitStack() as running:
        numbers = iter(range(100))

        def publish(content, bases, hashes):
            name = f"of-{sha256(request.node.nodeid.encode())[:8]}-{next(numbers)}"
            listing = running.enter_context(ListService(metalink(bases, hashes), METALINK))
            config = {"url": f"{listing.url}list", "allow_private_redirects": True}
            options = Secrets(tmp_path).options(**config)
            service.admin("importer", "create", name, "--type", "mirrors", *options)
            manifest = tmp_path / f"{name}.manifest"
            manifest.write_text(f"disk.iso,{sha256(content)},{len(content)}\n")
            service.admin("publish", name, "--importer", name, "--manifest", manifest)
            return f"{service.url}{name}/disk.iso"

        yield publish


def quarantined(service, mirrors):
    """Which of these mirrors is asked last for some content, whatever the importer."""
    reports = json.loads(get(f"{service.admin_url}origins")[2])
    return {
        name
        for name in mirrors.ports
        for each in reports
        if each["quarantined"] and each["origin"] == mirrors.origin(name)
    }


def test_wrong_piece_comes_from_another_mirror(content, mirrors, publish):
    """The client notices nothing, at the first transfer of this content."""
    both = mirrors(lying=flipped(content, AT_70_PERCENT), good=content)
    url = publish(content, [both.base("lying"), both.base("good")], pieces_of(content))

    outcome = outcome_of(url, content)

    assert RIGHT == outcome
    assert [("-", "200")] == [(each.range, each.status) for each in both.asked("lying")]
    assert [f"bytes={WRONG_PIECE}-{SIZE - 1}"] == [each.range for each in both.asked("good")]


@pytest.mark.parametrize("place", [0, AT_70_PERCENT, SIZE - 1])
def test_wrong_claim_does_not_make_right_content_fail(content, mirrors, publish, service, place):
    """It costs one more request, and nobody is blamed for it."""
    both = mirrors(one=content, two=content)
    lie = pieces_of(flipped(content, place))
    url = publish(content, [both.base("one"), both.base("two")], lie)

    outcomes = [outcome_of(url, content), outcome_of(url, content)]

    assert [RIGHT, RIGHT] == outcomes
    assert 1 == len(both.asked("two"))
    assert set() == quarantined(service, both)


def test_wrong_claim_does_not_make_wrong_content_pass(content, mirrors, publish):
    """Though each piece is as the list says."""
    wrong = flipped(content, AT_70_PERCENT)
    one = mirrors(lying=wrong)
    url = publish(content, [one.base("lying")], pieces_of(wrong))

    assert BREAK == outcome_of(url, content)


def test_wrong_claim_is_nothing_to_another_publication(content, mirrors, publish, service):
    """Of the same content and the same mirrors, whose list claims something else, or nothing."""
    both = mirrors(one=content, two=content)
    bases = [both.base("one"), both.base("two")]
    lie = pieces_of(flipped(content, 0))
    urls = [publish(content, bases, each) for each in (lie, pieces_of(content), "")]

    outcomes = [outcome_of(url, content) for url in urls]

    assert [RIGHT] * 3 == outcomes
    assert 1 == len(both.asked("two"))
    assert set() == quarantined(service, both)


@pytest.mark.parametrize("hashes", ["", "<hash>x</hash>", f"<hash>{'0' * 40}</hash>", "<a/>" * 99])
def test_pieces_that_are_none_do_no_harm(content, mirrors, publish, hashes):
    """The list is used for what it is right about."""
    one = mirrors(good=content)
    url = publish(content, [one.base("good")], hashes)

    outcome = outcome_of(url, content)

    assert RIGHT == outcome
    assert 1 == len(one.asked("good"))
