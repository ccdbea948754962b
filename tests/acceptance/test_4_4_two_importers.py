"""Issue 4, line 4: two importers for one host with different credentials share nothing.

A thousand requests, first for the one and then for the other, over and over and many at once. The
origin knows connections by the port that they come from, sets a cookie in every answer, and wants a
token of its own for each user.
"""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from origins import Origin, serves
from processes import get
from secrecy import SealingStreamer, Secrets
from token_service import TokenService

CONTENT = random.Random(44).randbytes(10_000)
USERS = {"one": "the-password-of-one", "two": "the-password-of-two"}
REQUESTS = 1000
AT_ONCE = 16


class Asked(NamedTuple):
    """One request that the origin answered with content."""

    path_of: str
    token_of: str
    key: str
    connection: int
    cookies: tuple[str, ...]


class Registry:
    """The origin of both: it wants a token and a key of its own from each."""

    def __init__(self, tokens):
        self.asked = []
        self._tokens = tokens

    def __call__(self, talk):
        user = talk.target.decode().split("/")[1]
        port = talk.connection.getpeername()[1]
        self.asked.append(
            Asked(
                user,
                self._tokens.user_of(talk),
                *talk.field("X-Api-Key"),
                port,
                tuple(talk.field("Cookie")),
            )
        )
        return serves(CONTENT, (f"Set-Cookie: session=of-{user}-{port}; Path=/",))(talk)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """What the origin was asked, when all clients were served."""
    folder = tmp_path_factory.mktemp("service")
    tokens = TokenService(USERS)
    registry = Registry(tokens)
    with (
        tokens,
        Origin(tokens.guard(registry)) as origin,
        SealingStreamer(folder) as service,
    ):
        for user, password in USERS.items():
            (folder / user).mkdir()
            key = {"X-Api-Key": f"the-key-of-{user}"}
            service.create_importer(
                *(user, f"{origin.url}{user}/"),
                Secrets(folder / user, password=password, secret_fields=key),
                username=user,
                credential_origins=[tokens.url],
            )
            service.publish_entries(user, user, {"file": CONTENT})
        urls = [f"{service.url}{user}/file" for _ in range(REQUESTS // 2) for user in USERS]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = Counter((each[0], each[2] == CONTENT) for each in pool.map(get, urls))
        assert answers == {(200, True): REQUESTS}
        assert Counter(user for user, _ in tokens.asked) == {"one": 1, "two": 1}
        yield registry.asked


def test_every_request_bears_the_credentials_of_its_importer(asked):
    """Token and key are those of the path that was asked for."""
    found = Counter((each.path_of, each.token_of, each.key) for each in asked)

    assert found == {(user, user, f"the-key-of-{user}"): REQUESTS // 2 for user in USERS}


def test_no_connection_is_of_both(asked):
    """And both use theirs again, so that there was something to mix up."""
    users_of = {}
    for each in asked:
        users_of.setdefault(each.connection, set()).add(each.path_of)

    assert {len(users) for users in users_of.values()} == {1}
    assert len(users_of) < REQUESTS // 2


def test_no_cookie_comes_back(asked):
    """A cookie is a credential that nobody configured, so none is kept."""
    assert {each.cookies for each in asked} == {()}
