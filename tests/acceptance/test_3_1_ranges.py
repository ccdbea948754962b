"""Issue 3, line 1: the bugs that others had with ranges, one row for each.

8865 (Redmine), 2147, 3052, 3054 and 3055 are issues of Pulp: no range at all, which Anaconda needs;
a wrong Content-Range; 500 on a range that cannot be read; a start beyond the end; an end beyond the
end. 6, 7, 8, 14 and 15 are numbers in the list of tests that were taken from real bugs.

`small` is verified whole, `medium` is cut out of a verified pass, `passed` is beyond
`range.verify_up_to`, and `held` has no origin.
"""

from __future__ import annotations

import base64
import gzip
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from origins import Origin
from processes import Streamer, entry, free_port, get, raw_exchange, sha256
from range_services import body_parts, fetch, transfers_of
from ranged_origins import encodes_gzip, serves_by_target, serves_ranges

BYTES = random.Random(31).randbytes(1_000_000)
CONTENTS = {
    "small": BYTES[:20_000],
    "medium": BYTES[:300_000],
    "passed": BYTES[:700_000],
    "held": BYTES[:100_000],
}
LAST_MODIFIED = "Tue, 01 Sep 2026 10:00:00 GMT"
VERIFIED = {"small": "whole", "medium": "held_tail", "passed": "passed", "held": "held_tail"}

SATISFIABLE = {
    "8865 a range in the middle": lambda size: ("bytes=1000-1999", (1000, 1999)),
    "8865 half of it": lambda size: (f"bytes={size // 4}-{size // 2}", (size // 4, size // 2)),
    "2147 from the first byte": lambda size: ("bytes=0-499", (0, 499)),
    "2147 one byte": lambda size: ("bytes=0-0", (0, 0)),
    "2147 the last byte": lambda size: (f"bytes={size - 1}-{size - 1}", (size - 1, size - 1)),
    "2147 an open end": lambda size: ("bytes=5000-", (5000, size - 1)),
    "2147 an open end from the first byte": lambda size: ("bytes=0-", (0, size - 1)),
    "3055 an end at the size": lambda size: (f"bytes=1000-{size}", (1000, size - 1)),
    "3055 an end far beyond it": lambda size: (f"bytes=10-{size * 9}", (10, size - 1)),
    "3055 an end beyond any number": lambda size: (f"bytes=10-{'9' * 40}", (10, size - 1)),
    "7 a suffix": lambda size: ("bytes=-100", (size - 100, size - 1)),
    "7 a suffix longer than all": lambda size: (f"bytes=-{size + 1}", (0, size - 1)),
    "7 the unit in capitals": lambda size: ("BYTES=5-9", (5, 9)),
    "7 spaces and empty members": lambda size: ("bytes= , 5-9 ,,", (5, 9)),
    "7 a second range beyond the end": lambda size: (f"bytes=5-9,{size}-", (5, 9)),
}
BEYOND = {
    "3054 a start at the size": lambda size: f"bytes={size}-",
    "3054 a start beyond the size": lambda size: f"bytes={size + 1}-{size + 10}",
    "3054 a start beyond any number": lambda size: f"bytes={'9' * 40}-",
    "3054 every start beyond the size": lambda size: f"bytes={size}-,{size + 100}-{size + 200}",
    "7 a suffix of nothing": lambda size: "bytes=-0",
}
UNREADABLE = {
    "3052 a negative start": "bytes=-1-11",
    "3052 negative twice": "bytes=--5",
    "3052 an end before the start": "bytes=9-5",
    "3052 no numbers": "bytes=-",
    "3052 no range": "bytes=",
    "3052 letters": "bytes=one-two",
    "3052 hexadecimal": "bytes=0x1-0x5",
    "3052 a fraction": "bytes=0.5-1",
    "3052 no unit": "0-5",
    "3052 another unit": "lines=0-5",
    "3052 one of two unreadable": "bytes=0-5,9-6",
    "3052 digits of another script": "bytes=\u0661-\u0665".encode().decode("latin-1"),
    "7 ranges that overlap": "bytes=0-100,50-150",
    "7 ranges that descend": "bytes=500-600,0-100",
    "7 more ranges than anybody needs": "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 514, 2)),
}


@pytest.fixture(scope="module")
def origin():
    """One honest origin with everything."""
    tree = {name: serves_ranges(content) for name, content in CONTENTS.items()}
    with Origin(serves_by_target(tree)) as origin:
        yield origin


@pytest.fixture(scope="module")
def service(origin, tmp_path_factory):
    """One service; nothing that is asked of it may end in a traceback."""
    folder = tmp_path_factory.mktemp("service")
    limits = {"range__verify_up_to": "512KiB", "pieces__enabled": "false"}
    with Streamer(folder, **limits) as streamer:
        contents = {
            name: {**entry(name, content), "last_modified": LAST_MODIFIED}
            for name, content in CONTENTS.items()
        }
        held = {**contents["held"], "content_base64": base64.b64encode(CONTENTS["held"]).decode()}
        del held["sources"]
        streamer.publish("os", origin.url, {**contents, "held": held, "unsized": unsized()})
        nowhere = f"http://127.0.0.1:{free_port()}/"
        streamer.publish("down", nowhere, contents)
        yield streamer
        assert streamer.tracebacks() == []


def unsized():
    """The medium content, of a size that the catalog does not know."""
    digest = {"sha256": sha256(CONTENTS["medium"])}
    return {"digests": digest, "sources": [{"url": "medium"}]}


@pytest.fixture(params=CONTENTS)
def artifact(request):
    """The name of each artifact in turn."""
    return request.param


def by_key(table):
    """The keys of a table as parameters, with the issue's number in the id."""
    return pytest.mark.parametrize("row", table)


# -- 7: the matrix of ranges ---------------------------------------------------------------------


@by_key(SATISFIABLE)
def test_satisfiable_range_is_answered_with_these_bytes(row, artifact, service):
    """206, the Content-Range that was meant, a Content-Length that is true, and the bytes."""
    content = CONTENTS[artifact]
    asked, (first, last) = SATISFIABLE[row](len(content))

    status, fields, got = get(f"{service.url}os/{artifact}", Range=asked)

    assert status == 206
    assert fields["Content-Range"] == f"bytes {first}-{last}/{len(content)}"
    assert fields["Content-Length"] == str(last - first + 1)
    assert got == content[first : last + 1]


@by_key(BEYOND)
def test_range_beyond_the_end_is_refused_with_the_size(row, artifact, service):
    """416 tells how long the content is; no client waits for bytes that do not exist."""
    size = len(CONTENTS[artifact])

    status, fields, _ = get(f"{service.url}os/{artifact}", Range=BEYOND[row](size))

    assert status == 416
    assert fields["Content-Range"] == f"bytes */{size}"
    assert "Repr-Digest" not in fields


@by_key(UNREADABLE)
def test_range_that_cannot_be_honoured_is_ignored(row, artifact, service):
    """200 with the whole, never 500."""
    status, fields, got = get(f"{service.url}os/{artifact}", Range=UNREADABLE[row])

    assert (status, got) == (200, CONTENTS[artifact])
    assert "Content-Range" not in fields


@pytest.mark.parametrize(
    "parts",
    [[(0, 9), (100, 199)], [(5, 5), (7, 7), (1000, 9999)], [(0, 0), (15_000, 19_999)]],
    ids=["7 two ranges", "7 three ranges", "7 the first byte and the end"],
)
def test_several_ranges_are_answered_in_parts(parts, artifact, service):
    """multipart/byteranges, each part with its own Content-Range."""
    content = CONTENTS[artifact]
    asked = ",".join(f"{first}-{last}" for first, last in parts)

    status, fields, got = get(f"{service.url}os/{artifact}", Range=f"bytes={asked}")

    assert status == 206
    assert int(fields["Content-Length"]) == len(got)
    assert "Content-Range" not in fields
    assert body_parts(fields, got) == [
        (f"bytes {first}-{last}/{len(content)}", content[first : last + 1]) for first, last in parts
    ]


@by_key([*SATISFIABLE, *BEYOND, *UNREADABLE])
def test_range_of_content_of_unknown_size_is_answered_whole(row, service):
    """Nothing can be cut where nobody knows how long the whole is, so `none` is accepted."""
    size = len(CONTENTS["medium"])
    asked = UNREADABLE.get(row) or (SATISFIABLE | BEYOND)[row](size)

    status, fields, got = get(
        f"{service.url}os/unsized", Range=asked if isinstance(asked, str) else asked[0]
    )

    assert (status, fields["Accept-Ranges"]) == (200, "none")
    assert got == CONTENTS["medium"]


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (lambda fields: fields["ETag"], 206),
        (lambda fields: fields["Last-Modified"], 206),
        (lambda fields: '"another"', 200),
        (lambda fields: f"W/{fields['ETag']}", 200),
        (lambda fields: "Tue, 01 Sep 2026 09:59:59 GMT", 200),
        (lambda fields: "Tue, 01 Sep 2026 10:00:01 GMT", 200),
        (lambda fields: "yesterday", 200),
        (lambda fields: "*", 200),
    ],
    ids=[
        "7 the tag",
        "7 the date",
        "7 another tag",
        "7 the tag, weak",
        "7 an earlier date",
        "7 a later date",
        "7 no date",
        "7 a star",
    ],
)
def test_if_range_decides_between_part_and_whole(condition, status, artifact, service):
    """A part goes only to a client that holds the rest of the very same content."""
    content = CONTENTS[artifact]
    url = f"{service.url}os/{artifact}"
    _, known, _ = get(url, method="HEAD")

    answered, _, got = get(url, Range="bytes=10-19", If_Range=condition(known))

    assert (answered, got) == (status, content[10:20] if status == 206 else content)


def test_log_says_how_each_range_was_verified(artifact, service):
    """The last line for the artifact has the range as it was asked and what was done for it."""
    get(f"{service.url}os/{artifact}", Range="bytes=77-88")

    line = transfers_of(service, f"/os/{artifact}")[-1]

    assert (line["range"], line["status"], line["bytes"]) == ("bytes=77-88", 206, 12)
    assert (line["verified"], line["verdict"]) == (VERIFIED[artifact], "complete")


# -- 6: codings ----------------------------------------------------------------------------------


def test_6_file_that_is_labelled_gzip_passes_byte_for_byte(service):
    """A `.gz` file whose origin calls it gzip-coded is neither decoded nor labelled."""
    packed = gzip.compress(BYTES[:300_000], mtime=0)
    label = ("Content-Encoding: gzip",)
    with Origin(serves_ranges(packed, label)) as origin:
        service.publish("labelled", origin.url, {"file.gz": packed})
        url = f"{service.url}labelled/file.gz"
        _, fields, whole = get(url)
        _, _, part = get(url, Range="bytes=1000-1999")

    assert (whole, part) == (packed, packed[1000:2000])
    assert "Content-Encoding" not in fields
    assert fields["ETag"] == f'"sha256:{sha256(packed)}"'


@pytest.mark.parametrize("name", ["small", "medium", "passed"])
def test_6_plain_file_that_comes_compressed_is_not_what_was_promised(name, service):
    """Neither the whole nor a range of it is complete: the digest is that of identity bytes."""
    content = CONTENTS[name]
    with Origin(encodes_gzip(content)) as origin:
        service.publish(f"compressed/{name}", origin.url, {"file": content})
        url = f"{service.url}compressed/{name}/file"
        answers = [fetch(url), fetch(url, Range="bytes=1000-1999")]

    assert [answer and answer[0] for answer in answers] == [502, 502]


# -- 8: answers that need no content -------------------------------------------------------------


@pytest.mark.parametrize("asked", [None, "bytes=0-9", "bytes=999999999-"])
def test_8_head_downloads_nothing(asked, artifact, origin, service):
    """HEAD is answered by the catalog, with the length of the whole, whatever its Range says."""
    before = origin.requests()
    wish = {} if asked is None else {"Range": asked}

    status, fields, _ = get(f"{service.url}os/{artifact}", method="HEAD", **wish)

    assert (status, fields["Content-Length"]) == (200, str(len(CONTENTS[artifact])))
    assert fields["Accept-Ranges"] == "bytes"
    assert origin.requests() == before


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"If_None_Match": "{tag}"}, 304),
        ({"If_None_Match": "{tag}", "Range": "bytes=0-9"}, 304),
        ({"If_Modified_Since": LAST_MODIFIED}, 304),
        ({"If_Match": '"another"', "Range": "bytes=0-9"}, 412),
        ({"Range": "bytes=999999999-"}, 416),
        ({}, 502),
    ],
    ids=["8 tag", "8 tag and range", "8 date", "8 If-Match", "8 beyond the end", "8 nothing"],
)
def test_8_condition_is_answered_although_the_origin_is_down(conditions, status, service):
    """No origin is needed to say that nothing changed; the last row shows that it is down."""
    tag = f'"sha256:{sha256(CONTENTS["passed"])}"'
    sent = {name: value.format(tag=tag) for name, value in conditions.items()}

    answered, _, _ = get(f"{service.url}down/passed", **sent)

    assert answered == status


# -- 14: a slow link -----------------------------------------------------------------------------

CLIENT_STALL = 2
PAUSE = 0.1
"""A read of a KiB and a pause: 64 KiB last longer than three times `delivery.client_stall`."""


@pytest.fixture(scope="module")
def slow_clients(tmp_path_factory):
    """What clients on a slow link received, by what they asked for, and the log of it.

    They read all at the same time, each with the smallest window there is, and each of another
    artifact: beside an unverified whole a part would be answered with 200 (ADR 4).
    """
    content = BYTES[: 64 * 1024]
    limits = {
        "delivery__small": "1KiB",
        "delivery__client_stall": f"{CLIENT_STALL}s",
        "delivery__idle": "1s",
        "delivery__first_byte": "1s",
        "content__keep_alive": "1s",
        "content__head_timeout": "1s",
        "range__verify_up_to": f"{len(content)}",
    }
    folder = tmp_path_factory.mktemp("slow")
    other = BYTES[64 * 1024 : 128 * 1024]
    contents = {"file": content, "other": other, "larger": content + b"x"}
    tree = {name: serves_ranges(each) for name, each in contents.items()}
    asked = {
        "the whole": ("file", None, content),
        "a verified range": ("other", "bytes=1-", other[1:]),
        "a passed range": ("larger", "bytes=1-", content[1:] + b"x"),
    }
    with Origin(serves_by_target(tree)) as origin, Streamer(folder, **limits) as streamer:
        streamer.publish("os", origin.url, contents)
        with ThreadPoolExecutor() as threads:
            running = {
                key: threads.submit(read_slowly, streamer.port, name, wish)
                for key, (name, wish, _) in asked.items()
            }
            received = {key: future.result() for key, future in running.items()}
        verdicts = [line["verdict"] for line in streamer.transfers(len(asked))]
    return {key: (received[key], asked[key][2]) for key in asked}, verdicts


def read_slowly(port, name, asked):
    """The content of a response that is read a KiB at a time, with pauses."""
    wish = f"Range: {asked}\r\n" if asked else ""
    request = f"GET /os/{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{wish}\r\n"
    received = b""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.connect(("127.0.0.1", port))
        client.sendall(request.encode())
        while more := client.recv(1024):
            received += more
            time.sleep(PAUSE)
    return received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("asked", ["the whole", "a verified range", "a passed range"])
def test_14_client_on_a_slow_link_is_not_timed_out(asked, slow_clients):
    """It gets everything, although that takes longer than any of the time limits."""
    received, expected = slow_clients[0][asked]

    assert received == expected


def test_14_slow_link_is_complete_in_the_log(slow_clients):
    """None of them counts as stalled."""
    assert slow_clients[1] == ["complete"] * 3


# -- 15: names -----------------------------------------------------------------------------------

NAMES = [
    "gcc-c++-13.2.rpm",
    "vim_2:9.0~rc1-1+b2.deb",
    "100%.txt",
    "50%25.txt",
    "a%2Fb.txt",
    "two words.txt",
    "épée/日本語.rpm",
    "q?ues#tion.txt",
    "semi;colon,comma=&.txt",
]


@pytest.fixture(scope="module")
def names(service):
    """An origin with a file of each name, published as `names`."""

    def behaviour(conversation):
        return serves_ranges(b"<" + conversation.target + b">")(conversation)

    with Origin(behaviour) as origin:
        promises = {
            name: {**entry(quote(name), target_content(name))} | {"path": name} for name in NAMES
        }
        service.publish("names", origin.url, promises)
        yield origin


def target_content(name):
    """What that origin sends for a name."""
    return f"</{quote(name)}>".encode()


@pytest.mark.parametrize("name", NAMES)
def test_15_name_is_found_and_asked_of_the_origin_as_published(name, names, service):
    """Percent-encoded by the client, decoded once here, and verbatim at the origin."""
    content = target_content(name)
    url = f"{service.url}names/{quote(name)}"

    whole = get(url)
    part = get(url, Range="bytes=1-")

    assert (whole[0], whole[2]) == (200, content)
    assert (part[0], part[2]) == (206, content[1:])
    assert names.conversations[-1].target.decode() == f"/{quote(name)}"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/names/gcc-c++-13.2.rpm", 200),
        ("/names/gcc-c%2B%2b-13.2.rpm", 200),
        ("/names/vim_2%3A9.0%7Erc1-1+b2.deb", 200),
        ("/names/two+words.txt", 404),
        ("/names//gcc-c++-13.2.rpm", 404),
        ("//names/gcc-c++-13.2.rpm", 404),
        ("/names/%C3%A9p%C3%A9e/%E6%97%A5%E6%9C%AC%E8%AA%9E.rpm", 200),
        ("/names/%C3%A9p%C3%A9e%2F%E6%97%A5%E6%9C%AC%E8%AA%9E.rpm", 404),
        ("/names/100%.txt", 400),
    ],
)
def test_15_target_is_decoded_once_and_never_joined(target, status, names, service):
    """A plus is a plus, a slash is no part of a name, and an empty segment is nothing."""
    request = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

    received, _ = raw_exchange(service.port, request.encode())

    assert received.split(b" ", 2)[1] == str(status).encode()


def test_15_name_with_an_empty_segment_cannot_be_published(names, service):
    """So `//` never means anything."""
    line = '{"path": "a//b", "size": 1, "digests": {"sha256": "%s"}, "sources": [{"url": "a"}]}'
    done = service.admin(
        "publish", "names/more", "--importer", "importer-of-names", "--entries", "-",
        stdin=line % sha256(b"a"), check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "path" in done.stderr
