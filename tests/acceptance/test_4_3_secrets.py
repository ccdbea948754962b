"""Issue 4, line 3: no secret of an importer is seen by anybody who need not see it.

One importer has a secret of every kind, and meets whoever might be told one: an absolute URL in an
entry, a mirror, a redirect, a token service, a proxy, clients, operators, logs. Each place is a
test.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from certificates import Authority
from faulty_origins import KIB
from origins import Origin, serves
from processes import entry, get
from ranged_origins import serves_by_target
from real_servers import Tinyproxy
from secrecy import CommandLines, SealingStreamer, Secrets, catalog_dump, heads
from token_service import TokenService

from streamer.importers import Registry
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact

CONTENT = random.Random(430).randbytes(100 * KIB)
LIMITS = {"delivery__first_byte": "4s", "delivery__idle": "1s"}
USER = "one-with-secrets"
PROXY_USER, PROXY_PASSWORD = "a-user-of-it", "the-password-of-the-proxy"
SERVERS, CLIENTS = Authority(), Authority()
KEY, CERTIFICATE = CLIENTS.issue(USER)
SECRETS = {
    "password": "correct horse/battery+staple",
    "secret_fields": {"X-Api-Key": "an-api-key-of-it", "X-Other-Key": "another-key-of-it"},
    "client_key": KEY,
    "proxy_password": PROXY_PASSWORD,
}
BESIDE = {
    "username": USER,
    "client_cert": CERTIFICATE,
    "ca_cert": SERVERS.pem,
    "proxy_username": PROXY_USER,
}

PLACES = [
    "an absolute URL of an entry",
    "a mirror",
    "a redirect's target",
    "a token service that the origin names",
    "the proxy's log",
    "the log",
    "what clients got",
    "metrics",
    "the status page",
    "what commands printed",
    "command lines",
    "the service's environment",
    "the catalog",
]
"""Where no secret of the importer may be."""

STATUSES = {
    "file": 200,
    "guarded": 200,
    "moved": 200,
    "forbidden": 502,
    "absolute": 200,
    "failing": 200,
    "absent": 404,
}
COMMANDS = [
    ("importer", "show", "all-secrets"),
    ("--json", "importer", "show", "all-secrets"),
    ("--json", "importer", "list"),
    ("importer", "update", "all-secrets", "--set", "client_key=@no-such-file"),
    ("resolve", "spread/failing", "--explain"),
    ("--json", "resolve", "spread/moved", "--explain"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service that has a key for secrets."""
    with SealingStreamer(tmp_path_factory.mktemp("service"), **LIMITS) as streamer:
        yield streamer


class World:
    """The importer's own origin, and whoever else it has to do with; `was_shown` certificates."""

    def __init__(self, folder):
        self.was_shown = {"own": set(), "others": set()}
        strict = SERVERS.server_context(folder, CLIENTS)
        asking = SERVERS.server_context(folder, CLIENTS, is_required=False)
        good = self._noting("others", serves(CONTENT))
        self.tokens = TokenService({}, tls=asking)
        self.proxy = Tinyproxy(folder, PROXY_USER, PROXY_PASSWORD)
        self.elsewhere = Origin(good, tls=asking, address="127.0.0.2")
        self.absolute = Origin(good, tls=asking)
        self.mirror = Origin(good, tls=asking)
        self.own = Origin(self._noting("own", serves_by_target(self._own())), tls=strict)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for each in (self.tokens, self.proxy, self.elsewhere, self.absolute, self.mirror):
                stack.enter_context(each)
            stack.enter_context(self.own)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def entries(self):
        """What is published: each path meets somebody else."""
        elsewhere = {
            "absolute": [{"url": f"{self.absolute.url}file"}],
            "failing": [{"url": "failing"}, {"url": f"{self.mirror.url}file", "priority": 1}],
        }
        moved = {
            path: {**entry(path, CONTENT), "sources": sources}
            for path, sources in elsewhere.items()
        }
        return {**dict.fromkeys(("file", "guarded", "moved", "forbidden"), CONTENT), **moved}

    def _own(self):
        return {
            "file": serves(CONTENT),
            "guarded": self.tokens.guard(serves(CONTENT)),
            "moved": self._redirects,
            "failing": serves(b"no", status=b"500 Internal Server Error"),
            "forbidden": serves(b"no", status=b"403 Forbidden"),
        }

    def _redirects(self, talk):
        location = f"Location: {self.elsewhere.url}file"
        return serves(b"", (location,), b"302 Found")(talk)

    def _noting(self, who, behaviour):
        def noting(talk):
            self.was_shown[who].add(bool(talk.connection.getpeercert()))
            return behaviour(talk)

        return noting


@pytest.fixture(scope="module")
def spread(service, tmp_path_factory):
    """All that was seen in each place, when everything has been asked for once."""
    folder = tmp_path_factory.mktemp("spread")
    secrets = Secrets(folder, USER, **SECRETS)
    with World(folder) as world, CommandLines() as commands:
        service.create_importer(
            *("all-secrets", world.own.url, secrets),
            **{**BESIDE, "proxy_url": world.proxy.url, "allow_private_redirects": True},
        )
        service.publish_entries("spread", "all-secrets", world.entries())
        answers = {path: get(f"{service.url}spread/{path}") for path in STATUSES}
        printed = [service.admin(*command, check=False) for command in COMMANDS]
        yield {
            "secrets": secrets,
            "shown": world.was_shown,
            "statuses": {path: answer[0] for path, answer in answers.items()},
            "own": heads(world.own),
            "proxied": world.proxy.asked(),
            "an absolute URL of an entry": heads(world.absolute),
            "a mirror": heads(world.mirror),
            "a redirect's target": heads(world.elsewhere),
            "a token service that the origin names": heads(world.tokens),
            "the proxy's log": world.proxy.log_text(),
            "the log": service.log_text(),
            "what clients got": repr([(str(each[1]), each[2]) for each in answers.values()]),
            "metrics": get(f"{service.admin_url}metrics")[2],
            "the status page": get(service.admin_url)[2],
            "what commands printed": "".join(each.stdout + each.stderr for each in printed),
            "command lines": commands.text(),
            "the service's environment": Path(f"/proc/{service.process.pid}/environ").read_bytes(),
            "the catalog": catalog_dump(service),
        }


def test_importer_with_all_secrets_was_everywhere(spread):
    """So that what follows proves something: its own origin was shown all, by way of the proxy."""
    seen = spread["secrets"].seen_in(own=spread["own"])

    assert spread["statuses"] == STATUSES
    assert {name for name, _ in seen} == {"password", "secret_fields"}
    assert spread["shown"] == {"own": {True}, "others": {False}}
    assert {method for method, _ in spread["proxied"]} == {"CONNECT"}
    assert all(spread[place] for place in PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_seen(place, spread):
    """None of them, in no form."""
    assert spread["secrets"].seen_in(there=spread[place]) == []


def test_no_failure_was_a_traceback(service, spread):
    """What origins and proxies did was expected, all of it."""
    assert service.tracebacks() == []


# -- what is said of a secret that cannot be used


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("client_key", "-----BEGIN PRIVATE KEY-----\nbm90LWEta2V5LWF0LWFsbA==\n-----END"),
        ("password", "a-password-without-a-user"),
        ("proxy_password", "a-password-without-a-proxy"),
        ("bearer_token", "a-token\nwith-two-lines"),
        ("secret_fields", {"X-Api-Key": "a-key\nwith-two-lines"}),
        ("secret_fields", {"Bad Name": "a-key-of-a-bad-name"}),
    ],
)
def test_secret_that_cannot_be_used_is_not_repeated(key, secret, service, tmp_path):
    """The command fails and names the key."""
    secrets = Secrets(tmp_path, **{key: secret})
    options = secrets.options(url="https://127.0.0.1/")

    done = service.admin("importer", "create", "bad", "--type", "http", *options, check=False)

    assert done.returncode == 2
    assert key in done.stderr
    assert secrets.seen_in(printed=done.stdout + done.stderr) == []


def test_no_repr_shows_a_secret(reactor, tmp_path):
    """Neither of the config, of the importer, of what it makes, nor of anything that these hold."""
    urls = {"url": "https://127.0.0.1/", "proxy_url": "http://127.0.0.1:1/"}
    config = {**urls, **BESIDE, **SECRETS}
    secrets = Secrets(tmp_path, USER, **SECRETS)
    kind = Registry().type("http")
    stored = DownloadConfig(1, 1, "inner", "http", kind.normalise(config))
    importer = kind.build(stored.config, Surroundings(reactor, "a-pseudonym"))

    downloader = importer.downloader(RemoteArtifact(stored, "file"))
    shown = "\n".join(map(repr, held_by(stored, importer, downloader)))

    assert secrets.seen_in(shown=shown) == []


def held_by(*things):
    """These, and every object of ours that they hold on to."""
    ahead, found = list(things), {}
    while ahead:
        thing = ahead.pop()
        if id(thing) in found:
            continue
        found[id(thing)] = thing
        slots = [getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())]
        held = [*slots, *getattr(thing, "__dict__", {}).values()]
        ahead += [each for each in held if type(each).__module__.startswith("streamer")]
    return found.values()
