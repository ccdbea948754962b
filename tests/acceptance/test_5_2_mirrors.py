"""Issue 5, line 2: mirrors behind nginx, of which some are dead, lie, are slow or stale.

The bad ones stand first in their lists. What clients get is judged by curl, what a mirror was asked
and shown by its own log. Bugs that users reported of others, as far as mirrors can have them, are
here too: drops, lists that cannot be had, statuses that end the search, credentials that travel.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from judging import BREAK, RIGHT, honest, outcome_of
from nginx_mirrors import Blackhole, NginxMirrors, refusing_base
from origins import Origin, cuts, flipped, never_answers, serves
from processes import get, sha256
from ranged_origins import changes_total, shifts_range
from secrecy import SealingStreamer, Secrets, heads
from written_lists import ListService, mirrorlist

KIB = 1024
WAITING_SECONDS = 60
SMALL = random.Random(521).randbytes(20 * KIB)
LARGE = random.Random(522).randbytes(300 * KIB)
FILES = {"small": SMALL, "large": LARGE}
SLOW_BYTES_PER_SECOND = 20 * KIB


def lies(files):
    """The same files with one bit other in each."""
    return {path: flipped(content, len(content) // 2) for path, content in files.items()}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service; nothing that mirrors do may end in a traceback."""
    with SealingStreamer(tmp_path_factory.mktemp("service")) as streamer:
        yield streamer
        assert streamer.tracebacks() == []


@pytest.fixture
def nginx(tmp_path):
    """Start an nginx with mirrors of the test's own; see `NginxMirrors`."""
    with contextlib.ExitStack() as running:

        def nginx(mirrors, own=None):
            (tmp_path / "nginx").mkdir()
            return running.enter_context(NginxMirrors(tmp_path / "nginx", mirrors, own))

        yield nginx


def messages(service):
    """What the log says that is no transfer."""
    return [each["message"] for each in service.log() if "message" in each]


class Listed:
    """What is published from the mirrors of a list, through an importer of its own."""

    def __init__(self, service, name, listing, secrets, **config):
        self.name = name
        self.listing = listing
        self.url = f"{service.url}{name}/"
        self._service = service
        config = {"url": f"{listing.url}list", "allow_private_redirects": True, **config}
        service.admin("importer", "create", name, "--type", "mirrors", *secrets.options(**config))

    def outcomes(self, files, *paths):
        """What comes of fetching some of the files with curl, one after the other."""
        return [outcome_of(f"{self.url}{quote(path)}", files[path]) for path in paths]

    def candidates(self, path):
        """The mirrors that would be asked for a path, in this order."""
        asked = f"{self._service.admin_url}candidates?path={self.name}/{path}"
        return [each["origin"] for each in json.loads(get(asked)[2])]

    def quarantined(self):
        """For how many files a mirror is asked last, of those where it is for any."""
        reports = json.loads(get(f"{self._service.admin_url}origins")[2])
        return {
            each["origin"]: each["quarantined"]
            for each in reports
            if each["importer"] == self.name and each["quarantined"]
        }


@pytest.fixture
def publish(service, request, tmp_path):
    """Publish files from the mirrors of a list that is sent as long as the test runs."""
    with contextlib.ExitStack() as running:
        numbers = iter(range(100))

        def publish(bases, files, secrets=None, **config):
            name = f"of-{sha256(request.node.nodeid.encode())[:8]}-{next(numbers)}"
            listing = running.enter_context(ListService(mirrorlist(bases)))
            listed = Listed(service, name, listing, secrets or Secrets(tmp_path), **config)
            manifest = tmp_path / f"{name}.manifest"
            lines = (f"{path},{sha256(each)},{len(each)}\n" for path, each in files.items())
            manifest.write_text("".join(lines))
            service.admin("publish", name, "--importer", name, "--manifest", manifest)
            return listed

        yield publish


# -- dead, lying, stale, slow ----------------------------------------------------------------------


def test_dead_mirrors_cost_a_moment_once(nginx, publish):
    """Refused, dropped or never answered: each next client is sent to the one that lives."""
    mirrors = nginx({"good": FILES})
    with Blackhole() as blackhole, Origin(never_answers) as silent:
        dead = [refusing_base(), blackhole.url, silent.url]
        listed = publish([*dead, mirrors.base("good")], FILES)

        outcomes = listed.outcomes(FILES, "small", "large", "small")
        candidates = listed.candidates("small")

    assert [RIGHT] * 3 == outcomes
    assert mirrors.origin("good") == candidates[0]
    assert {each.rstrip("/") for each in dead} == {*candidates[1:]}


def test_mirror_that_was_dead_is_asked_when_no_other_is_left(publish):
    """What is remembered of it says when it is asked, and not whether."""
    with Origin(never_answers) as first, Origin(serves(LARGE)) as second:
        listed = publish([first.url, second.url], FILES)
        outcomes = listed.outcomes(FILES, "large", "large")
        first.behaviour = serves(LARGE)
        second.stop()

        outcomes += listed.outcomes(FILES, "large")

    assert [RIGHT] * 3 == outcomes
    assert 2 <= first.requests()


def test_mirror_that_lies_is_asked_last_for_what_it_lied_about(nginx, publish, service):
    """Small files cost nobody anything; a large one breaks off visibly, and only for the first.

    The log names the liar, once for each file.
    """
    # Of its own, since no lie about content whose pieces are known reaches a client.
    files = {"small": b"another " + SMALL, "large": b"another " + LARGE}
    mirrors = nginx({"lying": lies(files), "good": files})
    listed = publish([mirrors.base("lying"), mirrors.base("good")], files)

    outcomes = listed.outcomes(files, "small", "large", "small", "large")

    assert [RIGHT, BREAK, RIGHT, RIGHT] == outcomes
    assert ["small", "large"] == mirrors.targets("lying")
    told = f"{mirrors.origin('lying')} sent other content than sha256:"
    assert 2 == sum(told in each for each in messages(service))
    assert {mirrors.origin("lying"): 2} == listed.quarantined()
    assert mirrors.origin("good") == listed.candidates("large")[0]


def test_stale_mirror_serves_what_it_has(nginx, publish):
    """It has other content for what changed, and lacks what is new; for the rest it is as good."""
    files = {**FILES, "repomd.xml": b"new " * 1000, "Release": b"new one", "unchanged": LARGE[1:]}
    before = {"repomd.xml": b"old " * 1000, "Release": b"old", "unchanged": LARGE[1:]}
    mirrors = nginx({"stale": before, "good": files})
    listed = publish([mirrors.base("stale"), mirrors.base("good")], files)

    outcomes = listed.outcomes(files, *files)

    assert [RIGHT] * 5 == outcomes
    assert [*files] == mirrors.targets("stale")
    assert "unchanged" not in mirrors.targets("good")
    assert {mirrors.origin("stale"): 2} == listed.quarantined()


def test_slow_mirror_is_left_for_another(nginx, publish, service):
    """The file is right, each sent a part of it, and the log names both of them."""
    files = {"long": random.Random(523).randbytes(100 * SLOW_BYTES_PER_SECOND)}
    mirrors = nginx(
        {"slow": files, "good": files}, {"slow": f"limit_rate {SLOW_BYTES_PER_SECOND};"}
    )
    listed = publish([mirrors.base("slow"), mirrors.base("good")], files)

    outcomes = listed.outcomes(files, "long")
    candidates = listed.candidates("long")

    size, told = len(files["long"]), f"{listed.name}: {mirrors.origin('slow')} is left at byte "
    lines = [each for each in messages(service) if told in each]
    assert [RIGHT] == outcomes
    assert [True] == [f", where {mirrors.origin('good')} goes on" in each for each in lines]
    for rest in mirrors.asked("good"):
        assert (f"bytes={size - rest.sent_bytes}-{size - 1}", "206") == (rest.range, rest.status)
        assert size > rest.sent_bytes
    assert [mirrors.origin("good"), mirrors.origin("slow")] == candidates


def test_many_clients_at_once_get_right_files_from_a_bad_list(nginx, publish):
    """What the first round learned of the liar the second one knows."""
    files = {f"file-{number}": SMALL[number:] for number in range(50)}
    mirrors = nginx({"lying": lies(files), "stale": {}, "good": files})
    bases = [mirrors.base(name) for name in ("lying", "stale", "good")]
    with Blackhole() as blackhole, ThreadPoolExecutor(50) as pool:
        listed = publish([refusing_base(), blackhole.url, *bases], files)
        urls = [f"{listed.url}{path}" for path in files]

        rounds = [list(pool.map(get, urls)) for _ in range(2)]
        last = {listed.candidates(path)[-1] for path in files}

    for answers in rounds:
        assert [200] * 50 == [status for status, _, _ in answers]
        assert [*files.values()] == [content for _, _, content in answers]
    assert {*files} == {*mirrors.targets("lying")}
    assert {mirrors.origin("lying")} == last


# -- drops and statuses ----------------------------------------------------------------------------


def test_02_transfer_that_a_mirror_cuts_goes_on_at_another(nginx, publish):
    """One clean response, of which each mirror sent the part that the log says."""
    mirrors = nginx({"good": FILES})
    half = len(LARGE) // 2
    with Origin(cuts(LARGE, half)) as cutting:
        listed = publish([cutting.url, mirrors.base("good")], FILES, max_retries=0)

        outcomes = listed.outcomes(FILES, "large")

    sent = [(each.range, each.status, each.sent_bytes) for each in mirrors.asked("good")]
    assert [RIGHT] == outcomes
    assert [(f"bytes={half}-{len(LARGE) - 1}", "206", len(LARGE) - half)] == sent


ELSEWHERE = {
    "at another byte": lambda content: shifts_range(content),
    "in a file of another length": lambda content: changes_total(content, len(content) + 1),
    "at the first byte": lambda content: serves(content),
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_03_mirror_that_goes_on_elsewhere_spoils_nothing(where, nginx, publish):
    """A transfer that one mirror cut goes on at the second one, which lies, or at the third."""
    mirrors = nginx({"good": FILES})
    with (
        Origin(cuts(LARGE, len(LARGE) // 2)) as cutting,
        Origin(ELSEWHERE[where](LARGE)) as lying,
    ):
        bases = [cutting.url, lying.url, mirrors.base("good")]
        listed = publish(bases, FILES, max_retries=0)

        outcomes = listed.outcomes(FILES, "large")

    assert [RIGHT] == outcomes
    assert 1 == lying.requests()


REFUSALS = ("401", "403", "404", "410", "429", "500", "503")


def test_status_of_one_mirror_does_not_end_the_search(nginx, publish):
    """Whatever it refuses with, the next one is asked."""
    mirrors = nginx(
        {**{status: {} for status in REFUSALS}, "good": FILES},
        {status: f"return {status};" for status in REFUSALS},
    )
    bases = [mirrors.base(name) for name in (*REFUSALS, "good")]
    listed = publish(bases, FILES, max_retries=0)

    outcomes = listed.outcomes(FILES, "small", "large")

    assert [RIGHT] * 2 == outcomes
    assert ["small"] == [*{target for name in REFUSALS for target in mirrors.targets(name)[:1]}]


def test_file_that_every_mirror_lacks_is_404(nginx, publish):
    """And only then: of one that is dead nobody knows what it has."""
    mirrors = nginx({"one": {}, "two": {}})
    lacking = [mirrors.base("one"), mirrors.base("two")]
    listed = [
        publish(each, FILES, max_retries=0) for each in (lacking, [*lacking, refusing_base()])
    ]

    outcomes = [each.outcomes(FILES, "small") for each in listed]

    assert [[honest(404)], [honest(502)]] == outcomes


# -- what a mirror is asked for, and shown ---------------------------------------------------------

AWKWARD = ("a b/c++-1:2.0~rc1^git.rpm", "späce/ü%41&=;,'().txt", "x/[y]$HOME#?.bin")


def test_paths_are_put_behind_bases_as_they_are_written(nginx, publish):
    """With a slash at its end, without, or with several in it: a base is taken verbatim."""
    files = dict.fromkeys(AWKWARD, SMALL)
    mirrors = nginx({"bare": {}, "slashes": {}, "good": files})
    bases = [
        f"{mirrors.origin('bare')}/bare",
        f"{mirrors.origin('slashes')}/slashes//pub/os//",
        mirrors.base("good"),
    ]
    listed = publish(bases, files)

    outcomes = listed.outcomes(files, *files)

    sent = [quote(path, safe="/") for path in files]
    assert [RIGHT] * len(files) == outcomes
    assert sent == [quote(each, safe="/%") for each in mirrors.targets("good")]
    assert mirrors.targets("good") == mirrors.targets("bare")
    assert [f"/pub/os/{each}" for each in mirrors.targets("good")] == mirrors.targets("slashes")


def test_credentials_go_to_the_list_and_to_the_mirror_that_is_named(
    nginx, publish, service, tmp_path
):
    """No other mirror sees them, nor where a mirror sends whoever asks."""
    secrets = Secrets(
        *(tmp_path, "me"),
        password="the-password-of-the-importer",
        secret_fields={"X-Key": "the-key-of-the-importer", "Cookie": "a=the-cookie-of-it"},
    )
    mirrors = nginx({"named": {}, "stranger": {}, "other": FILES})
    elsewhere = f"Location: {mirrors.base('other')}small"
    with Origin(serves(b"", (elsewhere,), b"302 Found")) as redirecting:
        bases = [mirrors.base("named"), mirrors.base("stranger"), redirecting.url]
        listed = publish(
            *(bases, {"small": SMALL}, secrets),
            username="me",
            credential_origins=[mirrors.origin("named")],
        )

        outcomes = listed.outcomes(FILES, "small")
        shown = {name: shown_to(mirrors, name) for name in ("named", "stranger", "other")}

    basic = base64.b64encode(b"me:the-password-of-the-importer").decode()
    everything = (f"Basic {basic}", "the-key-of-the-importer", "a=the-cookie-of-it")
    assert [RIGHT] == outcomes
    assert {
        "named": {everything},
        "stranger": {("-", "-", "-")},
        "other": {("-", "-", "-")},
    } == shown
    assert [everything[0]] == listed.listing.conversations[0].field("Authorization")
    assert [] == secrets.seen_in(redirecting=heads(redirecting), log=service.log_text())


def shown_to(mirrors, name):
    """The credentials of all requests that a mirror got."""
    return {(each.authorization, each.key, each.cookie) for each in mirrors.asked(name)}


# -- the list --------------------------------------------------------------------------------------


def fetch_until(listed, is_enough):
    """Fetch over and over, which has to go well each time, until something has come of it."""
    deadline = time.monotonic() + WAITING_SECONDS
    while not is_enough():
        assert time.monotonic() < deadline, "it does not come"
        assert [RIGHT] == listed.outcomes(FILES, "small")
        time.sleep(0.25)


def test_list_is_refreshed_behind_the_back_of_clients(nginx, publish):
    """A mirror that is new in it is asked, and one that is gone from it no more."""
    mirrors = nginx({"old": FILES, "new": FILES})
    listed = publish([mirrors.base("old")], FILES, refresh="10s")
    first = listed.outcomes(FILES, "small")
    listed.listing.send(mirrorlist([mirrors.base("new")]))

    fetch_until(listed, lambda: mirrors.asked("new"))
    asked_before = len(mirrors.asked("old"))
    then = listed.outcomes(FILES, "small", "large")

    assert [RIGHT] == first
    assert [RIGHT] * 2 == then
    assert asked_before == len(mirrors.asked("old"))


def test_last_good_list_stays_in_use(nginx, publish, service):
    """Whether its service is gone or sends something else; the log says so, and no client waits."""
    mirrors = nginx({"good": FILES})
    gone, replaced = (publish([mirrors.base("good")], FILES, refresh="10s") for _ in range(2))
    first = [listed.outcomes(FILES, "small") for listed in (gone, replaced)]
    gone.listing.stop()
    replaced.listing.send(b"<html>Log in, please</html>", "text/html")

    for listed in (gone, replaced):
        fetch_until(listed, lambda listed=listed: complaints(service, listed))
    then = [listed.outcomes(FILES, "large") for listed in (gone, replaced)]
    said = [complaints(service, listed)[0] for listed in (gone, replaced)]

    assert [[RIGHT]] * 2 == first == then
    assert all(each.endswith("; the last one stays in use") for each in said)
    assert "what came is a web page and no list of mirrors" in said[1]


def complaints(service, listed):
    """What the log says of a list that could not be had."""
    beginning = f"the list of mirrors at {listed.listing.url.rstrip('/')} could not be fetched: "
    return [each for each in messages(service) if each.startswith(beginning)]


def test_list_that_cannot_be_had_is_an_honest_status_until_it_can(nginx, publish):
    """Nobody has to start anything anew."""
    mirrors = nginx({"good": FILES})
    listed = publish([mirrors.base("good")], FILES)
    listed.listing.send(b"<html>Log in, please</html>", "text/html")
    before = listed.outcomes(FILES, "small", "small")
    listed.listing.send(mirrorlist([mirrors.base("good")]))

    deadline = time.monotonic() + WAITING_SECONDS
    while (outcome := listed.outcomes(FILES, "small")) != [RIGHT] and time.monotonic() < deadline:
        time.sleep(0.5)

    assert [honest(502)] * 2 == before
    assert [RIGHT] == outcome
