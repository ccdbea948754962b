"""Who may import whom. The table below is the documentation; the tests hold the code to it.

A *room* is a module of `streamer` or one of its packages with all that is in it. A room may import
the rooms named in its row and itself. `streamer` alone, which holds the version, is open to all.
"""

from __future__ import annotations

import ast
import os
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

import streamer

# -- the layers, from the bottom to the top --------------------------------------------------------

PURE = (
    "errors model fields request_head target preconditions kinds ranges partial_content verify"
    " pieces rates plan breaker relaying mirrors"
)
"""Records and decisions: no Twisted, no clock, no I/O."""

RECORDS = "settings metrics transfers"
"""Anyone may take one as an argument; nobody reaches for one."""

PORTS = "interfaces"
ADAPTERS = "catalog learned publishing importers downloaders"
PUMP = "pace response fetch pipe spans"
HEART = (
    "distrust ordering health turns testimony opening relief supplies supply outlook verification"
    " attempt delivery passing exchange saving"
)
EDGE = "app front endpoints listing admin logs"

ALLOWED = {
    # pure decisions build on each other and on nothing else
    **dict.fromkeys(PURE.split(), PURE),
    # records
    "settings": PURE,
    "transfers": PURE,
    "metrics": f"{PURE} transfers",
    # ports
    "interfaces": PURE,
    # adapters: one does not import another, but an importer builds its downloaders
    "catalog": f"{PURE} {RECORDS} {PORTS}",
    "learned": f"{PURE} {RECORDS} {PORTS}",
    "publishing": f"{PURE} {RECORDS} {PORTS}",
    "downloaders": f"{PURE} {RECORDS} {PORTS}",
    "importers": f"{PURE} {RECORDS} {PORTS} downloaders keyring",
    # the operator's key: who seals and who unseals is handed it
    "keyring": PURE,
    # pump
    "pace": f"{PURE} {RECORDS} {PORTS}",
    "response": f"{PURE} pace",
    "fetch": f"{PURE} {PORTS} pace",
    "pipe": f"{PURE} {PORTS} fetch pace response",
    "spans": f"{PURE} {PORTS}",
    # composition: the heart and the edge see ports and the pump, never an adapter
    "distrust": PURE,
    "ordering": f"{PURE} {RECORDS} distrust",
    "health": f"{PURE} {RECORDS}",
    "turns": f"{PURE} {RECORDS} {PORTS} health",
    "opening": f"{PURE} {PORTS} turns",
    "testimony": f"{PURE} {RECORDS} health turns",
    "relief": f"{PURE} turns testimony",
    "supplies": f"{PURE} {RECORDS} {PORTS} health turns",
    "supply": f"{PURE} {RECORDS} {PORTS} spans turns testimony opening relief supplies",
    "verification": f"{PURE} {PORTS}",
    "attempt": f"{PURE} {RECORDS} {PORTS} {PUMP} distrust ordering supply opening verification",
    "delivery": f"{PURE} {RECORDS} {PORTS} {PUMP} distrust ordering supplies supply verification"
    " attempt",
    "passing": f"{PURE} {RECORDS} {PORTS} {PUMP} health supplies supply turns opening",
    # without a client
    "outlook": f"{PURE} supplies health turns",
    "saving": f"{PURE} {RECORDS} {PORTS} fetch supply opening verification",
    "file_target": f"{PURE} saving",
    "stream_target": f"{PURE} saving",
    "exchange": f"{PURE} {RECORDS} {PORTS} {PUMP} ordering verification delivery passing listing",
    "listing": "model",
    "logs": f"{PURE} {RECORDS}",
    "endpoints": "",
    "front": f"{PURE} {RECORDS} {PORTS} {PUMP} {HEART}",
    "app": f"{PURE} {RECORDS} {PORTS} {PUMP} {HEART} listing front",
    "admin": f"{PURE} {RECORDS} {PORTS} {HEART} front",
    "testing": f"{PURE} {RECORDS} {PORTS} {PUMP}",
    # only these two see concrete adapters, and nothing imports them
    "service": f"{PURE} {RECORDS} {PORTS} {ADAPTERS} keyring {PUMP} {HEART} {EDGE}",
    "cli": f"{PURE} {RECORDS} {PORTS} {ADAPTERS} keyring {PUMP} {HEART} file_target stream_target",
}

REFUSED_TO_PURE = "asyncio os random socket sqlite3 sqlalchemy subprocess threading time twisted"
"""Packages that would let a clock, the network or a disk into a pure decision."""

REACTOR_USERS = {"service": "makeService", "cli": None}
"""Who may import the reactor, and in which function (None: in any, but not at the top)."""


# -- reading the code ------------------------------------------------------------------------------

ROOT = Path(streamer.__file__).parent


class Import(NamedTuple):
    """One imported name, absolute, and the outermost function that the statement stands in."""

    module: str
    line: int
    function: str | None

    @property
    def room(self) -> str | None:
        """The room of `streamer` that is meant; `None` for foreign packages and for the root."""
        package, _, rest = self.module.partition(".")
        first = rest.partition(".")[0]
        is_room = (ROOT / f"{first}.py").exists() or (ROOT / first).is_dir()
        return first if package == "streamer" and first and is_room else None


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[Import]:
    """Read every import statement, wherever it stands."""
    package = ["streamer", *path.relative_to(ROOT).parts[:-1]]
    return list(_imports(ast.parse(path.read_text()), package, function=None))


def _imports(node, package, function):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(name.name, child.lineno, function) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else []
            stem = ".".join([*base, *([child.module] if child.module else [])])
            yield from (Import(f"{stem}.{n.name}", child.lineno, function) for n in child.names)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            name = child.name if inside and function is None else function
            yield from _imports(child, package, name)


MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
every_module = pytest.mark.parametrize(
    "path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES]
)


# -- the tests -------------------------------------------------------------------------------------


def test_every_room_has_a_row():
    """A module that is not in the table has no place yet."""
    rooms = {room_of(path) for path in MODULES}

    assert rooms - ALLOWED.keys() == set()


def test_every_row_names_rooms_of_the_table():
    """A row that allows an unknown room allows nothing and misleads."""
    named = {room for row in ALLOWED.values() for room in row.split()}

    assert named - ALLOWED.keys() == set()


@every_module
def test_module_imports_only_what_its_row_allows(path):
    """A room imports itself and the rooms of its row."""
    room = room_of(path)
    allowed = {room, *ALLOWED.get(room, "").split()}

    refused = [
        f"line {i.line}: {i.room}" for i in imports_of(path) if i.room not in {None, *allowed}
    ]
    assert refused == []


@every_module
def test_pure_module_imports_no_clock_and_no_io(path):
    """Pure decisions take the time and the bytes as arguments."""
    refused = REFUSED_TO_PURE.split() if room_of(path) in [*PURE.split(), "listing"] else []

    found = [
        f"line {i.line}: {i.module}" for i in imports_of(path) if i.module.split(".")[0] in refused
    ]
    assert found == []


@every_module
def test_reactor_is_imported_only_where_things_are_joined(path):
    """Everything else is given the reactor, so that a test can give it another one."""
    room = room_of(path)
    uses = [i for i in imports_of(path) if i.module == "twisted.internet.reactor"]
    place = REACTOR_USERS.get(room)

    refused = [
        f"line {i.line} in {i.function}"
        for i in uses
        if room not in REACTOR_USERS or i.function is None or place not in (None, i.function)
    ]
    assert refused == []


@every_module
def test_inline_callbacks_are_not_used(path):
    """Coroutines are written as `async def`."""
    names = {i.module for i in imports_of(path)}

    assert "twisted.internet.defer.inlineCallbacks" not in names


@pytest.mark.subset
def test_package_under_test_is_the_installed_one_where_that_is_asked_for():
    """`make test` tests the wheel; the checkout that lies beside the tests must not shadow it."""
    installed = Path(sysconfig.get_path("purelib")) / "streamer"
    expected = installed if os.environ.get("STREAMER_EXPECT_INSTALLED") else ROOT

    assert expected == ROOT
