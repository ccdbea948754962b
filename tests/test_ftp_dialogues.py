"""What is said to an FTP server, and what its replies come to."""

from __future__ import annotations

import pytest

from streamer.downloaders import ftp_dialogues as say
from streamer.downloaders.ftp_places import Login
from streamer.downloaders.ftp_replies import Reply
from streamer.errors import (
    OriginBusy,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginRefused,
    OriginTLSFailed,
)

ME = Login("mé", "s3cret")
PEER = "192.0.2.7"


def held(dialogue, *replies):
    """The commands of a dialogue that gets these replies, and what it returns."""
    commands = []
    coming = iter(replies)
    try:
        commands.append(next(dialogue))
        while True:
            commands.append(dialogue.send(next(coming)))
    except StopIteration as end:
        assert next(coming, None) is None
        return commands, end.value


@pytest.mark.parametrize(
    ("replies", "commands"),
    [
        pytest.param([Reply(230)], ["USER mé"], id="no-password"),
        pytest.param([Reply(331), Reply(230)], ["USER mé", "PASS s3cret"], id="password"),
        pytest.param([Reply(331), Reply(202)], ["USER mé", "PASS s3cret"], id="superfluous"),
        pytest.param([Reply(300), Reply(230)], ["USER mé", "PASS s3cret"], id="another-3yz"),
    ],
)
def test_login_takes_as_many_steps_as_the_server_wants(replies, commands):
    """RFC 959 section 6, in UTF-8."""
    said, _ = held(say.log_in(ME), *replies)

    assert [command.encode() for command in commands] == said


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([Reply(530, "Login incorrect.")], OriginForbids),
        ([Reply(331), Reply(530, "Login incorrect.")], OriginForbids),
        ([Reply(331), Reply(332)], OriginForbids),
        ([Reply(332)], OriginForbids),
        ([Reply(331), Reply(331)], OriginForbids),
        ([Reply(530, "Sorry, the maximum number of clients (8) are connected")], OriginBusy),
        ([Reply(331), Reply(530, "Too many users")], OriginBusy),
        ([Reply(421, "Too many connections")], OriginBusy),
        ([Reply(500)], OriginRefused),
        ([Reply(331), Reply(451)], OriginFailing),
    ],
)
def test_login_that_fails_says_whether_to_come_back(replies, error):
    """A crowd goes away, a wrong password does not."""
    with pytest.raises(error):
        held(say.log_in(ME), *replies)


@pytest.mark.parametrize(
    ("reply", "error", "status"),
    [
        (Reply(421), OriginBusy, 503),
        (Reply(425), OriginFailing, 503),
        (Reply(426), OriginFailing, 503),
        (Reply(450, "busy"), OriginFailing, 503),
        (Reply(451), OriginFailing, 503),
        (Reply(452), OriginFailing, 503),
        (Reply(500), OriginRefused, 501),
        (Reply(502), OriginRefused, 501),
        (Reply(530), OriginForbids, 401),
        (Reply(532), OriginForbids, 401),
        (Reply(550, "Not for you"), OriginRefused, 501),
        (Reply(550, "f: Permission denied"), OriginForbids, 403),
        (Reply(550, "Not enough privileges."), OriginForbids, 403),
        (Reply(550, "Access is denied."), OriginForbids, 403),
        (Reply(553), OriginRefused, 501),
        (Reply(226), OriginRefused, 501),
    ],
)
def test_refusal_is_named_by_its_code_and_its_words(reply, error, status):
    """The words are looked at and never repeated."""
    refusal = say.refusal(reply)

    assert (error, status) == (type(refusal), refusal.received_status)
    assert reply.text not in str(refusal) or not reply.text


@pytest.mark.parametrize(
    ("reply", "error", "status"),
    [
        (Reply(550, "f: No such file or directory"), OriginLacksIt, 404),
        (Reply(550, "Failed to open file."), OriginLacksIt, 404),
        (Reply(550, "f: Permission denied"), OriginForbids, 403),
        (Reply(553), OriginLacksIt, 404),
        (Reply(450, "busy"), OriginFailing, 503),
        (Reply(226), OriginRefused, 501),
    ],
)
def test_refusal_of_a_file_may_say_that_it_is_not_there(reply, error, status):
    """Nothing else that is refused says so."""
    refusal = say.refusal_of_file(reply)

    assert (error, status) == (type(refusal), refusal.received_status)


@pytest.mark.parametrize("code", [220, 230])
def test_greeting_of_a_server_that_is_ready_is_taken(code):
    """RFC 959 section 5.4."""
    assert None is say.check_greeting(Reply(code))


@pytest.mark.parametrize(
    ("code", "error"),
    [(421, OriginBusy), (530, OriginForbids), (500, OriginRefused), (550, OriginRefused)],
)
def test_greeting_that_refuses_is_an_error(code, error):
    """Nothing is asked then."""
    with pytest.raises(error):
        say.check_greeting(Reply(code))


def test_tls_begins_with_234_alone():
    """RFC 4217 section 4."""
    assert ([b"AUTH TLS"], None) == held(say.ask_for_tls(), Reply(234))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (500, OriginTLSFailed),
        (504, OriginTLSFailed),
        (534, OriginTLSFailed),
        (334, OriginTLSFailed),
        (200, OriginTLSFailed),
        (431, OriginTLSFailed),
        (421, OriginBusy),
    ],
)
def test_server_without_tls_is_not_gone_on_with(code, error):
    """Not in the clear."""
    with pytest.raises(error):
        held(say.ask_for_tls(), Reply(code))


def test_content_is_protected():
    """RFC 4217 section 9; what is said to PBSZ is no matter."""
    assert ([b"PBSZ 0", b"PROT P"], None) == held(say.protect_content(), Reply(503), Reply(200))


@pytest.mark.parametrize("code", [431, 504, 534, 536])
def test_content_in_the_clear_is_refused(code):
    """Beside a control connection under TLS."""
    with pytest.raises(OriginTLSFailed):
        held(say.protect_content(), Reply(200), Reply(code))


def test_bytes_are_sent_as_they_are():
    """TYPE I, or nothing."""
    assert ([b"TYPE I"], None) == held(say.send_bytes_as_they_are(), Reply(200))
    with pytest.raises(OriginRefused):
        held(say.send_bytes_as_they_are(), Reply(504))


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        (Reply(213, "0"), 0),
        (Reply(213, "123456789012345678"), 123456789012345678),
        (Reply(213, " 12 "), 12),
        (Reply(500), None),
        (Reply(502), None),
        (Reply(504), None),
        (Reply(451), None),
    ],
)
def test_size_is_told_or_not(reply, size):
    """RFC 3659 section 4."""
    assert ([b"SIZE a/b"], size) == held(say.ask_for_size(b"a/b"), reply)


@pytest.mark.parametrize(
    ("text", "error"),
    [("Could not get file size.", OriginLacksIt), ("Permission denied.", OriginForbids)],
)
def test_size_of_what_is_not_there_is_a_refusal(text, error):
    """Nothing else is asked then."""
    with pytest.raises(error):
        held(say.ask_for_size(b"f"), Reply(550, text))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(213, "-1"),
        Reply(213, "12 bytes"),
        Reply(213),
        Reply(213, "1_0"),
        Reply(213, "٣"),
        Reply(213, "9" * 19),
        Reply(200, "12"),
    ],
)
def test_size_that_is_no_number_is_nonsense(reply):
    """It would be a promise."""
    with pytest.raises(OriginNonsense):
        held(say.ask_for_size(b"f"), reply)


@pytest.mark.parametrize(
    ("reply", "port"),
    [
        (Reply(229, "Entering Extended Passive Mode (|||6446|)"), 6446),
        (Reply(229, "(!!!1!) as you like"), 1),
        (Reply(229, "ok (|||65535|)"), 65535),
        (Reply(229, "(||6446|)"), None),
        (Reply(229, "(|1|192.0.2.9|6446|)"), None),
        (Reply(229, "(|||0|)"), None),
        (Reply(229, "(|||65536|)"), None),
        (Reply(229, "(|||123456|)"), None),
        (Reply(229, "|||6446|"), None),
        (Reply(229), None),
        (Reply(227, "(|||6446|)"), None),
        (Reply(500), None),
        (Reply(522, "(1)"), None),
    ],
)
def test_extended_port_is_a_number_alone(reply, port):
    """RFC 2428 section 3: there is no address; what cannot be used is not offered."""
    assert ([b"EPSV"], port) == held(say.ask_for_extended_port(), reply)


@pytest.mark.parametrize(
    "text",
    [
        "Entering Passive Mode (192,0,2,7,25,46).",
        "=192,0,2,7,25,46",
        "192,0,2,7,25,46",
        "Entering Passive Mode (192,000,2,07,25,46)",
    ],
)
def test_port_is_read_in_the_forms_that_servers_have(text):
    """RFC 1123 section 4.1.2.6: the parentheses are not to be relied on."""
    assert ([b"PASV"], 25 * 256 + 46) == held(say.ask_for_port(PEER), Reply(227, text))


@pytest.mark.parametrize(
    "text", ["(192,0,2,8,25,46)", "(127,0,0,1,25,46)", "(0,0,0,0,25,46)", "(10,0,0,1,0,22)"]
)
def test_port_of_another_host_is_refused(text):
    """A server does not choose whom this service connects to."""
    with pytest.raises(OriginNonsense, match="another host"):
        held(say.ask_for_port(PEER), Reply(227, text))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(227, "(192,0,2,7,256,1)"),
        Reply(227, "(192,0,2,300,1,1)"),
        Reply(227, "(192,0,2,7,0,0)"),
        Reply(227, "(192,0,2,7,1)"),
        Reply(227, "(1192,0,2,7,1,1)"),
        Reply(227),
        Reply(229, "(192,0,2,7,25,46)"),
    ],
)
def test_reply_without_a_port_is_nonsense(reply):
    """It was a yes all the same."""
    with pytest.raises(OriginNonsense):
        held(say.ask_for_port(PEER), reply)


def test_refused_passive_mode_is_a_refusal():
    """There is no third way."""
    with pytest.raises(OriginRefused):
        held(say.ask_for_port(PEER), Reply(502))


@pytest.mark.parametrize(("code", "starts"), [(350, True), (200, False), (502, False)])
def test_position_is_agreed_with_350_alone(code, starts):
    """RFC 3659 section 5."""
    assert ([b"REST 5000000000"], starts) == held(say.ask_to_start_at(5_000_000_000), Reply(code))


@pytest.mark.parametrize(
    "dialogue",
    [say.ask_for_size(b"f"), say.ask_for_extended_port(), say.ask_to_start_at(1)],
    ids=["SIZE", "EPSV", "REST"],
)
def test_farewell_is_no_answer(dialogue):
    """RFC 959 section 4.2.2: 421 may come to any command, and closes the connection."""
    with pytest.raises(OriginBusy):
        held(dialogue, Reply(421))


@pytest.mark.parametrize(("code", "is_all"), [(226, True), (250, True), (426, False), (551, False)])
def test_last_word_is_2yz(code, is_all):
    """RFC 959 section 5.4."""
    assert is_all == say.has_sent_all(Reply(code))
