"""The checks for plugin authors: each passes an importer that is right, and catches a wrong one.

The wrong ones are the right one with a single fault, which stands in the table beside the check
that has to find it and what that has to say.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from small_importer import (
    CONTENT,
    PIECE,
    SECRET,
    Download,
    Downloader,
    Importer,
    MirroringImporter,
    Relayer,
    source,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from streamer.errors import ConfigurationError, OriginForbids, OriginLacksIt, OriginUnreachable
from streamer.testing import checks, relay_checks, type_checks
from streamer.testing.checks import CHECKS, LEAST_BYTES, Subject, check_importer
from streamer.testing.relay_checks import RELAY_CHECKS, RelaySubject, check_relaying
from streamer.testing.type_checks import MARK, TYPE_CHECKS, UNKNOWN_KEY, check_type

PATIENCE_SECONDS = 1.0
"""Where the check has to lose it; else there is no hurry."""

QUIET_SECONDS = 0.05

_log = Logger()


def subject_of(
    reactor, importer=Importer, downloader=Downloader, download=Download, relayer=Relayer
):
    """The subject of a right importer, or of one with parts that are wrong."""
    ledger = []
    return Subject(
        reactor=reactor,
        make_importer=lambda: importer(reactor, ledger, downloader, download, relayer),
        source=source(),
        content=CONTENT,
        refused=((source("missing"), OriginLacksIt),),
        broken=source("broken"),
        unsized=source("unsized"),
        lying=source("lying"),
        silent=source("silent"),
        secrets=(SECRET,),
        count_open=lambda: len(ledger),
        quiet_seconds=QUIET_SECONDS,
    )


# -- what comes


class ShortLength(Download):
    def __init__(self, importer, response, first, end):
        super().__init__(importer, replace(response, length=1), first, end)


class PartWithoutSpan(Download):
    def __init__(self, importer, response, first, end):
        super().__init__(importer, replace(response, part_of=len(CONTENT)), first, end)


class OtherStatus(Download):
    def __init__(self, importer, response, first, end):
        super().__init__(importer, replace(response, status=206), first, end)


class BrokenField(Download):
    def __init__(self, importer, response, first, end):
        super().__init__(importer, replace(response, fields=(("X", "a\r\nY: b"),)), first, end)


class LateFields(Download):
    def deliver(self, sink):
        self.response = replace(self.response, fields=(("X-Late", "1"),))
        super().deliver(sink)


class Misplaced(Download):
    def __init__(self, importer, response, first, end):
        super().__init__(importer, response, first + 1, end)


class Short(Download):
    def __init__(self, importer, response, first, end):
        super().__init__(importer, response, first, end - 1)


class Endless(Download):
    def finish(self, error):
        self.release()


class EndsTwice(Download):
    def finish(self, error):
        sink = self.sink
        super().finish(error)
        if sink is not None:
            sink.content_ended(error)


class EndsForeign(Download):
    def finish(self, error):
        super().finish(ValueError("an error of a library"))


class EndsWell(Download):
    def finish(self, error):
        super().finish(None)


class AllAsPart(Downloader):
    async def open(self, span=None):
        download = await super().open()
        part_of = None if span is None else len(CONTENT)
        download.response = replace(download.response, length=None, part_of=part_of)
        return download


class PartUnsaid(Download):
    def __init__(self, importer, response, first, end):
        super().__init__(importer, replace(response, part_of=None), first, end)


class WrongTotal(Download):
    def __init__(self, importer, response, first, end):
        super().__init__(importer, replace(response, part_of=end - first), first, end)


class BelievesAnyPart(Downloader):
    def refuse(self, span):
        if self.source.url == "missing":
            super().refuse(span)


class PartRaisesForeign(Downloader):
    def refuse(self, span):
        if self.source.url == "lying":
            raise IndexError("no such part")
        super().refuse(span)


# -- stop


class StopsOnlyFlow(Download):
    def stop(self):
        if self.sink is not None:
            super().stop()


class StopsOnlyWhatFlows(Download):
    def stop(self):
        self.sink = None
        if not self.is_paused:
            self.release()


class StopsOnce(Download):
    is_stopped = False

    def stop(self):
        if self.is_stopped:
            raise RuntimeError("stopped twice")
        self.is_stopped = True
        super().stop()


class Unstoppable(Download):
    def stop(self):
        if self.sink is None:
            super().stop()


class LastWordAfterStop(Download):
    def stop(self):
        sink = self.sink
        super().stop()
        if sink is not None:
            sink.content_ended(None)


class SaysGoodbye(Download):
    last = None

    def finish(self, error):
        self.last = self.sink
        super().finish(error)

    def stop(self):
        last, self.last = self.last, None
        super().stop()
        if last is not None:
            last.content_ended(None)


# -- pause


class NeverPauses(Download):
    def pause(self):
        """Not today."""


class NeverResumes(Download):
    def resume(self):
        """Not today."""


class ForgetsPause(Download):
    def deliver(self, sink):
        self.is_paused = False
        super().deliver(sink)


class LosesResume(Download):
    """Resumes where nothing is being sent, and nowhere else."""

    is_sending = False

    def resume(self):
        if not self.is_sending:
            super().resume()

    def send(self, piece):
        self.is_sending = True
        super().send(piece)
        self.is_sending = False


class SendsWithinResume(Download):
    """Counts a piece when its sink has taken it, which may have resumed meanwhile."""

    def resume(self):
        if self.is_paused and self.sink is not None and self.position < self.end:
            self.is_paused = False
            self.send(self.next_piece())
        super().resume()

    def next_piece(self):
        return CONTENT[self.position : min(self.position + PIECE, self.end)]

    def send(self, piece):
        super().send(piece)
        self.position += len(piece)


class EndsInPause(Download):
    def pause(self):
        super().pause()
        self.position = self.end
        if self.sink is not None:
            self.importer.reactor.callLater(0, self.finish, None)


class Hoards(Download):
    """Takes from the origin what its sink does not take."""

    def pause(self):
        super().pause()
        self.kept = [CONTENT[at : at + PIECE] for at in range(0, len(CONTENT), PIECE)]


class FetchesAhead(Downloader):
    async def open(self, span=None):
        download = await super().open(span)
        download.ahead = bytearray(CONTENT)
        return download


# -- open


class OpensAnyway(Downloader):
    async def ask(self):
        try:
            await super().ask()
        except CancelledError:
            return


class LeavesTimer(Downloader):
    async def ask(self):
        timer = self.importer.reactor.callLater(60, lambda: None)
        await super().ask()
        timer.cancel()


class LeavesConnection(Downloader):
    async def ask(self):
        self.importer.ledger.append(self)
        await super().ask()
        self.importer.ledger.remove(self)


class CancelledOtherwise(Downloader):
    async def ask(self):
        try:
            await super().ask()
        except CancelledError:
            raise KeyError from None


class Uncancellable(Downloader):
    async def ask(self):
        try:
            await super().ask()
        except CancelledError:
            await Deferred(lambda never: never.pause())


class Silent(Downloader):
    async def open(self, span=None):
        await Deferred()


class FindsMissing(Downloader):
    async def open(self, span=None):
        self.source = source()
        return await super().open(span)


class RaisesForeign(Downloader):
    async def open(self, span=None):
        if self.source.url == "missing":
            raise FileNotFoundError("missing")
        return await super().open(span)


class RaisesOther(Downloader):
    async def open(self, span=None):
        if self.source.url == "missing":
            raise OriginForbids(403)
        return await super().open(span)


class RaisesWithoutArguments(Downloader):
    async def open(self, span=None):
        if self.source.url == "missing":
            raise OriginLacksIt
        return await super().open(span)


class LeavesRefused(LeavesConnection):
    async def ask(self):
        self.importer.ledger.append(self)
        await Downloader.ask(self)
        if self.source.url != "missing":
            self.importer.ledger.remove(self)


class RefusesAll(Downloader):
    async def open(self, span=None):
        raise OriginLacksIt(404)


class DownloaderRaises(Downloader):
    def __init__(self, importer, source):
        if not source.url:
            raise ValueError("what is that")
        super().__init__(importer, source)


class SendsAscii(Downloader):
    async def ask(self):
        self.source.url.encode("ascii")
        await super().ask()


class WaitsForScheme(Downloader):
    async def ask(self):
        await (Deferred() if self.source.url.startswith("any:") else super().ask())


class GivesUpOnSilence(Downloader):
    async def ask(self):
        if self.source.url == "silent":
            raise OriginUnreachable("it is not in the mood")
        await super().ask()


class DeafToCancelling(Downloader):
    async def ask(self):
        if self.source.url == "silent":
            await Deferred(lambda never: never.pause())
        await super().ask()


# -- what is shared


class SharesPosition(Download):
    def __init__(self, importer, response, first, end):
        importer.position = first
        super().__init__(importer, response, first, end)

    @property
    def position(self):
        return self.importer.position

    @position.setter
    def position(self, value):
        self.importer.position = value


class StopsOthers(Download):
    def stop(self):
        for each in list(self.importer.ledger):
            Download.stop(each)


class PausesOthers(Download):
    def pause(self):
        for each in self.importer.ledger:
            each.is_paused = True


class ClosesAll(Importer):
    async def close(self):
        for each in list(self.ledger):
            each.stop()


class ClosesWhenAllIsOver(Importer):
    async def close(self):
        while self.ledger:
            await deferLater(self.reactor, 0.01)


class ClosesWhenAsked(Importer):
    """Waits for opens that are under way."""

    asked = ()

    def downloader(self, source):
        self.asked = (*self.asked, source.url)
        return super().downloader(source)

    async def close(self):
        if "silent" in self.asked:
            await Deferred()


class NoPlaces(MirroringImporter):
    async def downloaders(self, source):
        return []


class LeavesList(MirroringImporter):
    async def downloaders(self, source):
        ledger = self.importer.ledger
        ledger.append(self)
        found = await super().downloaders(source)
        ledger.remove(self)
        return found


class NeverCloses(Importer):
    async def close(self):
        await Deferred()


class ClosedForGood(Importer):
    async def close(self):
        self.make_download = None


class KeepsConnection(Importer):
    def downloader(self, source):
        if self not in self.ledger:
            self.ledger.append(self)
        return super().downloader(source)


class RandomOrigin(Downloader):
    @property
    def origin(self):
        return f"small://host:{id(object())}-{id(self)}"


class OriginWithUser(Downloader):
    origin = "small://user@host:1"


class OriginWithPath(Downloader):
    origin = "small://host:1/f"


class OriginWithSecret(Downloader):
    origin = f"small://{SECRET}:1"


class NoOrigin(Downloader):
    origin = ""


class NegativeRetries(Downloader):
    retries = -1


# -- secrets


class ShownByImporter(Importer):
    def __repr__(self):
        return f"Importer({vars(self)})"


class ShownByDownload(Download):
    def __repr__(self):
        return f"Download({self.importer.secret})"


class ShownByField(Download):
    def __init__(self, importer, response, first, end):
        fields = (("X-Echo", importer.secret),)
        super().__init__(importer, replace(response, fields=fields), first, end)


class ShownByError(Downloader):
    async def open(self, span=None):
        if self.source.url == "missing":
            raise OriginUnreachable(f"http://me:{self.importer.secret}@host/")
        return await super().open(span)


class ShownByCause(Downloader):
    async def open(self, span=None):
        if self.source.url == "missing":
            raise OriginLacksIt(404) from ValueError(self.importer.secret)
        return await super().open(span)


class ShownByBreak(Download):
    def finish(self, error):
        if error is not None:
            error.__cause__ = ValueError(self.importer.secret)
        super().finish(error)


class ShownByLog(Downloader):
    async def open(self, span=None):
        _log.info("asking with {password}", password=self.importer.secret)
        return await super().open(span)


class ShownByTraceback(Downloader):
    async def open(self, span=None):
        try:
            raise ValueError(self.importer.secret)
        except ValueError as error:
            _log.info("it failed", error=error)
        return await super().open(span)


WRONG = [
    (checks.check_fields, ShortLength, "the length is 1 and should be"),
    (checks.check_fields, PartWithoutSpan, "part_of is set"),
    (checks.check_fields, OtherStatus, "the status is 206"),
    (checks.check_fields, BrokenField, "what no field can hold"),
    (checks.check_fields, LateFields, "the response changed"),
    (checks.check_fields, Silent, "open did not complete in time"),
    (checks.check_fields, RefusesAll, "open refused what can be had: OriginLacksIt"),
    (checks.check_content, Misplaced, "wrong somewhere from byte 0"),
    (checks.check_content, Short, f"has {len(CONTENT) - 1} bytes and should have {len(CONTENT)}"),
    (checks.check_content, Endless, "did not end in time"),
    (checks.check_content, EndsTwice, "the last word came after the last word"),
    (checks.check_content, EndsForeign, "ended in ValueError, no OriginError"),
    (checks.check_unsized, ShortLength, "the length is 1, and the origin said none"),
    (checks.check_unsized, Short, f"has {len(CONTENT) - 1} bytes and should have {len(CONTENT)}"),
    (checks.check_lying, BelievesAnyPart, "open completed, where it should fail"),
    (checks.check_lying, PartRaisesForeign, "raised IndexError of another part"),
    (checks.check_spans, AllAsPart, "the content is wrong"),
    (checks.check_spans, Misplaced, "the content"),
    (checks.check_spans, PartUnsaid, "the content has 1 bytes"),
    (checks.check_spans, WrongTotal, "part_of is 1 and should be"),
    (checks.check_spans, ShortLength, "the length is 1, and 1000 were asked for"),
    (checks.check_broken, EndsWell, "ended as if it were complete"),
    (checks.check_stop_before_content, StopsOnlyFlow, "1 timers, connections or files are left"),
    (checks.check_stop_before_content, StopsOnlyWhatFlows, "are left"),
    (checks.check_stop_before_content, StopsOnce, "stopped twice"),
    (checks.check_stop_in_content, Unstoppable, "content came after stop"),
    (checks.check_stop_in_content, LastWordAfterStop, "the last word came after stop"),
    (checks.check_stop_in_content, StopsOnce, "stopped twice"),
    (checks.check_stop_in_pause, StopsOnlyWhatFlows, "are left"),
    (checks.check_stop_at_the_end, SaysGoodbye, "the last word came after stop"),
    (checks.check_stop_at_the_end, StopsOnce, "stopped twice"),
    (checks.check_pause, NeverPauses, "bytes came while the content was paused"),
    (checks.check_pause, NeverResumes, "did not end in time"),
    (checks.check_pause, EndsInPause, "ended while it was paused"),
    (checks.check_pause_before_content, ForgetsPause, "bytes came while the content was paused"),
    (checks.check_pause_before_content, NeverResumes, "did not end in time"),
    (checks.check_pause_often, LosesResume, "did not end in time"),
    (checks.check_pause_often, SendsWithinResume, "the content is wrong somewhere"),
    (checks.check_memory, Hoards, "bytes of memory"),
    (checks.check_memory, FetchesAhead, "bytes of memory"),
    (checks.check_cancelled_open, OpensAnyway, "a cancelled open completed"),
    (checks.check_cancelled_open, LeavesTimer, "1 timers, connections or files are left"),
    (checks.check_cancelled_open, LeavesConnection, "1 timers, connections or files are left"),
    (checks.check_cancelled_open, CancelledOtherwise, "a cancelled open raised KeyError"),
    (checks.check_cancelled_open, Uncancellable, "a cancelled open did not end in time"),
    (checks.check_fields, NoPlaces, "gives no place and no OriginError"),
    (checks.check_cancelled_open, LeavesList, "1 timers, connections or files are left"),
    (checks.check_any_source, DownloaderRaises, "the source '' raised ValueError"),
    (checks.check_any_source, SendsAscii, "the source 'é' raised UnicodeEncodeError"),
    (checks.check_any_source, WaitsForScheme, "the open of 'any://h/f' did not end in time"),
    (checks.check_silent, ClosesWhenAsked, "close did not complete in time"),
    (checks.check_silent, GivesUpOnSilence, "its origin has not said a word"),
    (checks.check_silent, DeafToCancelling, "a cancelled open did not end in time"),
    (checks.check_close, ClosesWhenAllIsOver, "close did not complete in time"),
    (checks.check_refused, FindsMissing, "open completed, where it should fail"),
    (checks.check_refused, RaisesForeign, "raised FileNotFoundError and should raise"),
    (checks.check_refused, RaisesOther, "raised OriginForbids and should raise OriginLacksIt"),
    (checks.check_refused, RaisesWithoutArguments, "makes no sentence of its arguments"),
    (checks.check_refused, LeavesRefused, "1 timers, connections or files are left"),
    (checks.check_refused, Silent, "an open that should fail did not end in time"),
    (checks.check_concurrent, SharesPosition, "the content"),
    (checks.check_concurrent, StopsOthers, "did not end in time"),
    (checks.check_concurrent, PausesOthers, "did not end in time"),
    (checks.check_close, ClosesAll, "did not end in time"),
    (checks.check_close, NeverCloses, "close did not complete in time"),
    (checks.check_close, ClosedForGood, "not callable"),
    (checks.check_close, KeepsConnection, "1 timers, connections or files are left"),
    (checks.check_origin, RandomOrigin, "origin is not the same at each look"),
    (checks.check_origin, OriginWithUser, "more than a scheme, host and port"),
    (checks.check_origin, OriginWithPath, "more than a scheme, host and port"),
    (checks.check_origin, OriginWithSecret, "origin holds a secret"),
    (checks.check_origin, NoOrigin, "origin is no name"),
    (checks.check_origin, NegativeRetries, "retries is no number"),
    (checks.check_secrets, ShownByImporter, "a secret of the config is seen in the importer"),
    (checks.check_secrets, ShownByDownload, "seen in the download"),
    (checks.check_secrets, ShownByField, "seen in the response"),
    (checks.check_secrets, ShownByError, "seen in the error"),
    (checks.check_secrets, ShownByCause, "seen in an error or what caused it"),
    (checks.check_secrets, ShownByBreak, "seen in an error or what caused it"),
    (checks.check_secrets, ShownByLog, "seen in the log"),
    (checks.check_secrets, ShownByTraceback, "seen in the log"),
]


PARTS = {
    "importer": (Importer, MirroringImporter),
    "downloader": Downloader,
    "download": Download,
}


def names(rows):
    return [f"{check.__name__}-{wrong.__name__}" for check, wrong, _ in rows]


def impatient(subject, sentence):
    """A subject that does not wait long for what a check of this sentence waits for in vain."""
    waits_in_vain = sentence.endswith(("in time", "are left"))
    return replace(subject, patience_seconds=PATIENCE_SECONDS) if waits_in_vain else subject


@ensureDeferred
async def test_right_importer_passes_all_checks(reactor):
    """What keeps the contract is not objected to."""
    await check_importer(subject_of(reactor))


@ensureDeferred
async def test_right_importer_of_several_places_passes_all_checks(reactor):
    """It has `downloaders` instead, of which the first is looked at."""
    await check_importer(subject_of(reactor, importer=MirroringImporter))


@pytest.mark.parametrize(("check", "wrong", "sentence"), WRONG, ids=names(WRONG))
@ensureDeferred
async def test_wrong_importer_is_caught_by_its_check(reactor, check, wrong, sentence):
    """The check that is there for a fault names it, and never the secret that is at stake."""
    (part,) = [name for name, right in PARTS.items() if issubclass(wrong, right)]
    subject = subject_of(reactor, **{part: wrong})

    with pytest.raises((AssertionError, RuntimeError, TypeError), match=sentence) as caught:
        await check(impatient(subject, sentence))

    for call in reactor.getDelayedCalls():
        if getattr(call.func, "__module__", None) == __name__:
            call.cancel()  # what `LeavesTimer` left
    assert SECRET not in str(caught.value)


def test_every_check_of_an_importer_has_a_wrong_one_to_catch():
    """A check that nothing was seen to fail proves nothing."""
    assert {check for check, _, _ in WRONG} == set(CHECKS)


def test_subject_with_little_content_is_refused(reactor):
    """Checks of pauses would pass without having seen any."""
    with pytest.raises(ValueError, match="needs 4,194,304 bytes"):
        replace(subject_of(reactor), content=bytes(LEAST_BYTES - 1))


# -- relaying


class RelaysOtherStatus(Relayer):
    async def relay(self, method, fields):
        download = await super().relay(method, fields)
        download.response = replace(download.response, status=203)
        return download


class RelaysShort(Relayer):
    async def relay(self, method, fields):
        download = await super().relay(method, fields)
        download.end -= 1
        return download


class AnswersHeadWithContent(Relayer):
    async def relay(self, method, fields):
        return await super().relay("GET", fields)


class KeepsFieldsBack(Relayer):
    async def relay(self, method, fields):
        return await super().relay(method, ())


class LosesContentRange(Relayer):
    async def relay(self, method, fields):
        download = await super().relay(method, fields)
        download.response = replace(download.response, fields=())
        return download


class RelaysForeign(Relayer):
    async def relay(self, method, fields):
        if self.source.url == "missing":
            raise FileNotFoundError("missing")
        return await super().relay(method, fields)


class LeavesRelay(Relayer):
    async def ask(self):
        self.importer.ledger.append(self)
        await super().ask()
        self.importer.ledger.remove(self)


WRONG_RELAYERS = [
    (relay_checks.check_relayed_get, RelaysOtherStatus, "the status of a GET is 203"),
    (relay_checks.check_relayed_get, RelaysShort, "the content has"),
    (relay_checks.check_relayed_head, AnswersHeadWithContent, "the content is wrong"),
    (relay_checks.check_relayed_fields, KeepsFieldsBack, "the status of a range is 200"),
    (relay_checks.check_relayed_fields, LosesContentRange, r"Content-Range is \[\] and should be"),
    (relay_checks.check_relayed_refusal, RelaysForeign, "raised FileNotFoundError"),
    (relay_checks.check_cancelled_relay, LeavesRelay, "1 timers, connections or files are left"),
]


def relayed_of(subject):
    return RelaySubject(subject, "f", "missing")


@ensureDeferred
async def test_right_relayer_passes_all_checks(reactor):
    """What keeps the contract is not objected to."""
    await check_relaying(relayed_of(subject_of(reactor)))


@pytest.mark.parametrize(("check", "wrong", "sentence"), WRONG_RELAYERS, ids=names(WRONG_RELAYERS))
@ensureDeferred
async def test_wrong_relayer_is_caught_by_its_check(reactor, check, wrong, sentence):
    """The check that is there for a fault names it."""
    subject = impatient(subject_of(reactor, relayer=wrong), sentence)

    with pytest.raises(AssertionError, match=sentence):
        await check(relayed_of(subject))


def test_every_check_of_a_relayer_has_a_wrong_one_to_catch():
    """A check that nothing was seen to fail proves nothing."""
    assert {check for check, _, _ in WRONG_RELAYERS} == set(RELAY_CHECKS)


# -- types


class SmallType:
    """A type that does everything right."""

    schemes = frozenset({"small"})
    secret_keys = frozenset({"password"})
    object_keys = frozenset({"fields"})

    def normalise(self, config):
        checked = {"version": 1, **config}
        if str(checked.get("limit")).isdecimal():
            checked["limit"] = int(checked["limit"])
        for key, value in checked.items():
            self.check(key, value)
        return checked

    def check(self, key, value):
        allowed = {"version": int, "user": str, "password": str, "fields": dict, "limit": int}
        if key not in allowed:
            raise ConfigurationError(f"{key}: is not a setting")
        if type(value) is not allowed[key]:
            raise ConfigurationError(f"{key}: must be of type {allowed[key].__name__}")


class NoSecretKeys(SmallType):
    secret_keys = None


class ListedObjects(SmallType):
    object_keys = ("fields",)


class UpperCaseScheme(SmallType):
    schemes = frozenset({"SMALL"})


class SchemeWithColon(SmallType):
    schemes = frozenset({"small:"})


class Changing(SmallType):
    def normalise(self, config):
        config["version"] = 1
        return super().normalise(config)


class Growing(SmallType):
    def normalise(self, config):
        normal = super().normalise(config)
        return {**normal, "user": normal["user"] + "!"}


class NotJson(SmallType):
    def normalise(self, config):
        return {**super().normalise(config), "keys": frozenset(config)}


class JsonChanges(SmallType):
    def normalise(self, config):
        return {**super().normalise({**config}), 1: "one"}

    def check(self, key, value):
        if key not in (1, "1"):
            super().check(key, value)


class Masking(SmallType):
    def normalise(self, config):
        return {**super().normalise(config), "password": "****"}


class UnknownSecret(SmallType):
    secret_keys = frozenset({"password", "pasword"})


class UnknownObject(SmallType):
    object_keys = frozenset({"field"})


class OpenSecret(SmallType):
    secret_keys = frozenset()


class RefusesTexts(SmallType):
    def normalise(self, config):
        self.check("limit", config["limit"])
        return super().normalise(config)


class KeepsTexts(SmallType):
    def normalise(self, config):
        return {**super().normalise(config), "limit": config["limit"]}


class Tolerant(SmallType):
    def check(self, key, value):
        if key != UNKNOWN_KEY:
            super().check(key, value)


class Nameless(SmallType):
    def check(self, key, value):
        try:
            super().check(key, value)
        except ConfigurationError:
            raise ConfigurationError("something is wrong") from None


class Repeating(SmallType):
    def check(self, key, value):
        try:
            super().check(key, value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}, not {value!r}") from None


class RepeatingAll(SmallType):
    def normalise(self, config):
        try:
            return super().normalise(config)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}, in {config['password']}") from None


class Crashing(SmallType):
    def check(self, key, value):
        if key == "user":
            value.lower()
        super().check(key, value)


WRONG_TYPES = [
    (type_checks.check_constants, NoSecretKeys, "secret_keys is no frozenset"),
    (type_checks.check_constants, ListedObjects, "object_keys is no frozenset"),
    (type_checks.check_schemes, UpperCaseScheme, "in lower case"),
    (type_checks.check_schemes, SchemeWithColon, "without a colon"),
    (type_checks.check_normal_form, Changing, "changed what it was given"),
    (type_checks.check_normal_form, Growing, "normalised twice is another"),
    (type_checks.check_dump, NotJson, "is not JSON: TypeError"),
    (type_checks.check_dump, JsonChanges, "comes back as another"),
    (type_checks.check_dump, Masking, r"secrets \[1\] of those"),
    (type_checks.check_secret_keys, UnknownSecret, "none of the configs has: pasword"),
    (type_checks.check_secret_keys, UnknownObject, "object_keys that none"),
    (type_checks.check_secret_keys, OpenSecret, "password shows a secret"),
    (type_checks.check_texts, RefusesTexts, "limit as text is refused"),
    (type_checks.check_texts, KeepsTexts, "limit as text is another one"),
    (type_checks.check_unknown_key, Tolerant, "a key that does not exist is accepted"),
    (type_checks.check_unknown_key, Nameless, "does not name it"),
    (type_checks.check_unknown_key, Repeating, "repeats its value"),
    (type_checks.check_refusals, Nameless, "names no key"),
    (type_checks.check_refusals, Repeating, "repeats a value"),
    (type_checks.check_refusals, RepeatingAll, "repeats a value"),
    (type_checks.check_refusals, Crashing, "a wrong user raises AttributeError"),
]

CONFIG = {"user": "me", "password": SECRET, "fields": {"a": "b"}, "limit": 5}


def test_right_type_passes_all_checks():
    """What keeps the contract is not objected to."""
    check_type(SmallType(), [CONFIG], (SECRET,))


@pytest.mark.parametrize(("check", "wrong", "sentence"), WRONG_TYPES, ids=names(WRONG_TYPES))
def test_wrong_type_is_caught_by_its_check(check, wrong, sentence):
    """The check that is there for a fault names it, and repeats neither secret nor value."""
    with pytest.raises(AssertionError, match=sentence) as caught:
        check(wrong(), [CONFIG], (SECRET,))

    assert SECRET not in str(caught.value)
    assert MARK not in str(caught.value)


def test_every_check_of_a_type_has_a_wrong_one_to_catch():
    """A check that nothing was seen to fail proves nothing."""
    assert {check for check, _, _ in WRONG_TYPES} == set(TYPE_CHECKS)
