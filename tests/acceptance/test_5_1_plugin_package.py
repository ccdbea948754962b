"""Issue 5: the example plug-in, installed beside the wheel, checked there, and served through.

Everything runs in an environment of its own, which has the two wheels and nothing of the checkout.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import socket
import threading

import pytest
from plugin_environments import EXAMPLES, Environment
from processes import get, sha256
from secrecy import Secrets, catalog_dump
from subscription_origins import SubscriptionOrigin

from streamer.testing.checks import CHECKS
from streamer.testing.type_checks import TYPE_CHECKS

EXAMPLE = "pulp-streamer-subscription"
ACCOUNT = "4711"
SECRET = "hunter2-correct-horse"
CONTENT = random.Random(51).randbytes(20_000_000)
SMALL = CONTENT[:200_000]
WAYS = ("over_tcp", "over_tls", "with_old_sessions")
"""How the example's own tests check the importer."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("plugin"), EXAMPLE)


@pytest.fixture(scope="module")
def origin():
    contents = {"/repo/large": CONTENT, "/repo/small": SMALL}
    with SubscriptionOrigin(ACCOUNT, SECRET, contents) as origin:
        yield origin


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    return Secrets(tmp_path_factory.mktemp("secrets"), secret=SECRET)


@pytest.fixture(scope="module")
def service(tmp_path_factory, environment, origin, secrets):
    """A running service with an importer of the plug-in's type."""
    service = environment.streamer(tmp_path_factory.mktemp("service"))
    options = secrets.options(url=f"{origin.url}repo/", account=ACCOUNT)
    service.admin("importer", "create", "shop", "--type", "subscription", *options)
    missing = {"size": 1, "digests": {"sha256": sha256(b"x")}, "sources": [{"url": "missing"}]}
    contents = {"large": CONTENT, "small": SMALL, "missing": missing}
    service.publish_entries("os", "shop", contents)
    with service:
        yield service


def test_environment_has_the_wheel_and_not_the_checkout(environment):
    """Else all that follows would say nothing."""
    done = environment.run("python", "-c", "import streamer; print(streamer.__file__)")

    assert done.stdout.startswith(str(environment.folder))


def test_plugin_is_listed_as_usable_beside_the_built_in_types(environment):
    """Installing it is all that it takes."""
    done = environment.run("pulp-streamer", "--json", "importer", "types")

    states = {each["type"]: each["state"] for each in json.loads(done.stdout)}
    assert {"http": "usable", "subscription": "usable"}.items() <= states.items()


def test_plugin_passes_its_own_tests_and_with_them_every_check(environment, tmp_path):
    """Its author's tests run the checks of `streamer.testing`; none of those is left out."""
    for name in ("tests", "pyproject.toml"):
        copy = shutil.copytree if name == "tests" else shutil.copy
        copy(EXAMPLES / EXAMPLE / name, tmp_path / name)

    done = environment.run("pytest", "-q", "-rp", "-p", "no:cacheprovider", cwd=tmp_path)

    passed = set(re.findall(r"^PASSED .+::test_(?:importer|type)\[(.+)\]$", done.stdout, re.M))
    wanted = {check.__name__ for check in TYPE_CHECKS}
    wanted |= {f"{way}-{check.__name__}" for way in WAYS for check in CHECKS}
    assert done.returncode == 0, done.stdout[-5000:]
    assert passed == wanted


def test_content_behind_a_login_and_a_signature_is_served(service, origin):
    """Two files and a range are right; the login was made once, and nothing had to be refused."""
    before = origin.logins, len(origin.refused)
    wholes = [get(f"{service.url}os/{name}")[2] for name in ("large", "small")]
    status, fields, part = get(f"{service.url}os/large", Range="bytes=1000000-1000999")

    assert wholes == [CONTENT, SMALL]
    assert (status, part) == (206, CONTENT[1_000_000:1_001_000])
    assert fields["Content-Range"] == f"bytes 1000000-1000999/{len(CONTENT)}"
    assert (origin.logins - before[0], len(origin.refused)) == (before[0] == 0, before[1])


def test_crowd_shares_the_login_that_follows_an_expired_session(service, origin):
    """Thirty clients whose session the origin forgot get their content for one login."""
    get(f"{service.url}os/small")
    before, found = origin.logins, []
    origin.forget()
    clients = [
        threading.Thread(target=lambda: found.append(get(f"{service.url}os/small")[2] == SMALL))
        for _ in range(30)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert found == [True] * 30
    assert origin.logins == before + 1


def test_file_that_the_origin_lacks_is_404(service):
    """The importer's word for it reaches the plan, and the plan's the client."""
    assert get(f"{service.url}os/missing")[0] == 404


def test_secrets_of_a_plugin_are_seen_nowhere(service, origin, secrets):
    """Neither the account's nor a session's, and no signature; the catalog has the first sealed."""
    pages = "".join(
        get(f"{service.admin_url}{page}")[2].decode() for page in ("", "origins", "metrics")
    )
    shown = service.admin("--json", "importer", "show", "shop").stdout
    fields = str(get(f"{service.url}os/large", method="HEAD")[1])
    told = "".join([pages, shown, fields, service.log_text()])

    places = {"told": told, "catalog": catalog_dump(service)}
    assert json.loads(shown)["config"]["secret"] == "set"
    assert secrets.seen_in(**places) == []
    assert [each for each in (*origin.keys, "signature=") if each in told] == []


def test_client_that_leaves_lets_the_connection_go(service, origin):
    """What a plug-in opened for it is closed with its exchange, content or no content."""
    others = origin.open_connections
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(b"GET /os/large HTTP/1.1\r\nHost: h\r\n\r\n")
        client.recv(1000)

    assert service.wait_for_metric("pulp_streamer_exchanges_in_flight", 0) == 0
    assert origin.wait_for_connections_at_most(others)
    assert service.tracebacks() == []
