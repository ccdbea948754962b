"""Secrets of importers as an operator meets them: `secrets …`, and what other commands do.

A secret is looked for in everything that the command wrote and in every byte of the catalog. A
rotation is interrupted at every line of the code that does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command as alembic
from alembic.config import Config
from commands import command_in, environ_of
from cryptography.fernet import Fernet
from sqlalchemy import create_engine

import streamer
from streamer.catalog import CatalogStore, open_store
from streamer.catalog.database import Database
from streamer.cli.sealing import rewritten
from streamer.importers import GROUP
from streamer.keyring import Keyring, keys_in

PASSWORD = "hunter2-correct-horse"
OLDER_PASSWORD = "hunter1-tr0ub4dor"
NEW_PASSWORD = "hunter3-battery-staple"
HTTP = ("--type", "http", "--url", "https://h/")
WITH_PASSWORD = (*HTTP, "--set", "username=u", "--set", "password=env:PASSWORD")

CLUMSY = """
class Clumsy:
    schemes = frozenset()
    secret_keys = frozenset({"password"})

    def normalise(self, config):
        raise ValueError(f"cannot use {config}")

    def build(self, config, surroundings):
        raise NotImplementedError
"""
PLUGIN = """
from streamer.errors import ConfigurationError

class Fields:
    schemes = frozenset()
    secret_keys = frozenset({"secret_fields", "password"})
    object_keys = frozenset({"secret_fields"})

    def normalise(self, config):
        if not isinstance(config.get("secret_fields", {}), dict):
            raise ConfigurationError("secret_fields: must be an object")
        return dict(config)

    def build(self, config, surroundings):
        raise NotImplementedError
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def command(folder):
    """Run the command with the password in its environment."""
    run = command_in(folder)
    return lambda *arguments, **given: run(*arguments, **{"PASSWORD": PASSWORD} | given)


@pytest.fixture
def keyed(command):
    """The same, with a key file."""
    assert 0 == command("secrets", "init").code
    return command


@pytest.fixture
def sealed(keyed):
    """The same, with an importer `m` that has a password."""
    assert 0 == keyed("importer", "create", "m", *WITH_PASSWORD).code
    return keyed


@pytest.fixture
def inherited(command, folder):
    """The command in front of a catalog from before, upgraded: its password is in the clear."""
    write_first_catalog(folder / "catalog.db")
    assert 0 == command("catalog", "upgrade").code
    return command


def write_first_catalog(file):
    """A catalog of revision 0001 with an importer that has a password, as it was then stored.

    Of another one, which was deleted, there are traces in the file.
    """
    config = Config()
    migrations = Path(streamer.__file__).parent / "catalog" / "migrations"
    config.set_main_option("script_location", str(migrations))
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0001")
    engine.dispose()
    stored = {"version": 1, "url": "https://h/", "username": "u"}
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        # A config of several pages, of which all but the first stay as they are.
        deleted = {"ca_cert": "x" * 20_000, "password": OLDER_PASSWORD}
        for name, config in (("m", {"password": PASSWORD}), ("deleted", deleted)):
            connection.execute(
                "INSERT INTO importers (name, type, config, revision, created_at, updated_at)"
                " VALUES (?, 'http', ?, 1, 0, 0)",
                (name, json.dumps(stored | config)),
            )
        connection.commit()
        connection.execute("DELETE FROM importers WHERE name = 'deleted'")
        connection.commit()


def importer(folder, name="m"):
    with open_store(f"sqlite:///{folder}/catalog.db") as store:
        return store.importer(name)


def secrets_of(folder, name="m"):
    stored = importer(folder, name)
    return Keyring(folder / "keys").unseal(stored.id, stored.sealed)


def catalog_bytes(folder):
    """The catalog and whatever SQLite keeps beside it; not the copy that an upgrade made."""
    return b"".join(
        (folder / name).read_bytes()
        for name in ("catalog.db", "catalog.db-wal", "catalog.db-shm")
        if (folder / name).exists()
    )


def keys(folder):
    return keys_in((folder / "keys").read_text())


# -- init ----------------------------------------------------------------------------------------


def test_init_makes_a_key_file_for_its_owner_only(command, folder):
    """It holds one key, which is not printed."""
    done = command("secrets", "init")

    assert (0, "") == (done.code, done.err)
    assert 0o600 == (folder / "keys").stat().st_mode & 0o777
    assert 1 == len(keys(folder))
    assert keys(folder)[0] not in done.out
    assert {"catalog.db", "keys"} == {path.name for path in folder.iterdir()}


def test_init_says_which_setting_to_set_where_it_is_not(command, folder):
    """The option names a file before the setting does."""
    stated = command(
        *("secrets", "init", "--key-file", folder / "other"), PULP_STREAMER__SECRETS__KEY_FILE=""
    )
    named = command("secrets", "init", "--json")

    assert f'set `key_file = "{folder}/other"` under [secrets]' in stated.out
    assert {
        "key_file": f"{folder}/keys",
        "is_set": True,
        "sealed": [],
        "problems": [],
    } == named.document


@pytest.mark.parametrize("name", ["init", "rotate"])
def test_command_without_a_key_file_is_wrong_usage(command, name):
    """There is nowhere to put a key."""
    done = command("secrets", name, PULP_STREAMER__SECRETS__KEY_FILE="")

    assert 2 == done.code
    assert "set secrets.key_file, or name it: --key-file" in done.err


def test_init_overwrites_nothing(keyed, folder):
    """Whatever it is; the way on is named."""
    before = (folder / "keys").read_bytes()

    done = keyed("secrets", "init")

    assert 1 == done.code
    assert "is there already: `pulp-streamer secrets rotate`" in done.err
    assert before == (folder / "keys").read_bytes()


def test_init_in_a_folder_that_is_absent_is_refused(command, folder):
    """The reason is that of the system."""
    done = command("secrets", "init", "--key-file", "absent/keys")

    assert 1 == done.code
    assert "absent/keys cannot be written: No such file or directory" in done.err


def test_init_after_a_lost_key_names_whose_secrets_are_lost(sealed, folder):
    """The new key is there, and something is left to do."""
    (folder / "keys").unlink()

    done = sealed("secrets", "init", "--json")

    assert 1 == done.code
    assert 1 == len(keys(folder))
    (problem,) = done.document["problems"]
    assert problem.startswith("importer 'm': no key of")


# -- importers with secrets ----------------------------------------------------------------------


def test_catalog_holds_no_byte_of_a_secret(sealed, folder):
    """Neither at first, nor after the secret was changed or removed."""
    found = [catalog_bytes(folder)]
    sealed("importer", "update", "m", "--set", "password=-", text=NEW_PASSWORD.encode())
    found.append(catalog_bytes(folder))
    changed = secrets_of(folder)
    sealed("importer", "update", "m", "--unset", "password")
    found.append(catalog_bytes(folder))

    assert {"password": NEW_PASSWORD} == changed
    assert importer(folder).sealed is None
    assert not any(text.encode() in one for one in found for text in (PASSWORD, NEW_PASSWORD))


def test_nothing_that_is_printed_holds_a_secret_or_a_key(sealed, folder):
    """Done or refused, for people and for scripts."""
    outputs = [
        sealed(*arguments, *options)
        for options in ([], ["--json"])
        for arguments in (
            ["importer", "show", "m"],
            ["importer", "list"],
            ["importer", "update", "m", "--set", "password=env:PASSWORD"],
            ["importer", "update", "m", "--set", "passwort=env:PASSWORD"],
            ["importer", "create", "n", *WITH_PASSWORD],
            ["secrets", "rotate"],
            ["secrets", "init"],
            ["catalog", "check"],
        )
    ]
    told = "".join(one.out + one.err for one in outputs)

    assert "password: set" in told
    assert not any(text in told for text in (PASSWORD, *keys(folder)))
    assert importer(folder).sealed not in told


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: None, "is not there: put it back, or run `pulp-streamer secrets init`"),
        (lambda path: path.write_text("nonsense"), "run `chmod 600"),
        (lambda path: path.touch(0o600), "holds no key"),
        (lambda path: path.mkdir(), "is not a regular file"),
    ],
    ids=["absent", "open to others", "empty", "a folder"],
)
def test_importer_with_a_secret_and_no_usable_key_is_not_stored(command, folder, prepare, said):
    """The line says what to do."""
    prepare(folder / "keys")

    done = command("importer", "create", "m", *WITH_PASSWORD)

    assert (2, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    assert said in done.err
    assert [] == command("importer", "list", "--json").document


def test_importer_with_a_secret_and_no_setting_is_told_of_it(command):
    """Setting first, key second."""
    done = command("importer", "create", "m", *WITH_PASSWORD, PULP_STREAMER__SECRETS__KEY_FILE="")

    assert 2 == done.code
    assert "set secrets.key_file, and run `pulp-streamer secrets init`" in done.err


def test_commands_that_need_no_secret_need_no_key(sealed, folder):
    """What is set is known without opening it."""
    (folder / "keys").unlink()

    shown = sealed("importer", "show", "m")
    codes = [
        sealed("importer", "create", "n", *HTTP).code,
        sealed("importer", "update", "n", "--url", "https://other/").code,
        sealed("importer", "list").code,
        sealed("importer", "delete", "m").code,
    ]

    assert "password: set\n" in shown.out
    assert [0] * 4 == codes


def test_update_of_other_keys_without_the_key_keeps_the_secrets_and_says_so(sealed, folder):
    """The sealed text stays byte by byte, under a new revision."""
    before, key = importer(folder), (folder / "keys").read_bytes()
    (folder / "keys").unlink()

    done = sealed("importer", "update", "m", "--url", "https://other/", "--json")

    after = importer(folder)
    assert (0, "set") == (done.code, done.document["config"]["password"])
    assert ["its secrets stay as they are"] == [one[:28] for one in done.document["problems"]]
    assert (before.sealed, 2, "https://other/") == (
        after.sealed,
        after.revision,
        after.config["url"],
    )
    (folder / "keys").touch(0o600)
    (folder / "keys").write_bytes(key)
    assert {"password": PASSWORD} == secrets_of(folder)


def test_update_without_the_key_is_refused_where_the_plain_keys_are_wrong(sealed, folder):
    """The answer says that the secrets were not looked at."""
    (folder / "keys").unlink()

    done = sealed("importer", "update", "m", "--url", "nonsense")

    assert 2 == done.code
    assert "url: must be an absolute" in done.err
    assert "its secrets were not looked at" in done.err
    assert 1 == importer(folder).revision


def test_config_that_is_accepted_with_a_warning_says_so(keyed):
    """An importer that verifies nobody is made, loudly, and changed so as well."""
    made = keyed("importer", "create", "m", *HTTP, "--set", "tls_validation=false", "--json")
    changed = keyed("importer", "update", "m", "--set", "connect_timeout=3")

    assert (0, 0) == (made.code, changed.code)
    assert "tls_validation is off" in made.document["problems"][0]
    assert "tls_validation is off" in changed.out


def test_update_with_the_key_checks_the_whole_config(sealed, folder):
    """A password without its user is wrong, though the password is sealed."""
    done = sealed("importer", "update", "m", "--unset", "username")

    assert 2 == done.code
    assert "password: needs a username" in done.err
    assert 1 == importer(folder).revision


def test_update_of_one_of_two_secrets_needs_the_key(keyed, folder, plugin):
    """The other one stands in the same seal."""
    keyed(*("importer", "create", "p", "--type", "fields"), "--set", "password=env:PASSWORD")
    keyed("importer", "update", "p", "--set", 'secret_fields={"X": "y"}')
    before = secrets_of(folder, "p")
    (folder / "keys").unlink()

    done = keyed("importer", "update", "p", "--set", "password=env:PASSWORD")

    assert {"password": PASSWORD, "secret_fields": {"X": "y"}} == before
    assert (2, 2) == (done.code, importer(folder, "p").revision)
    assert "is not there: put it back" in done.err


def test_secret_that_is_set_anew_survives_a_lost_key(sealed, folder):
    """With the key that there is now; the old one is not asked for."""
    (folder / "keys").unlink()
    sealed("secrets", "init")

    done = sealed("importer", "update", "m", "--set", "password=-", text=NEW_PASSWORD.encode())

    assert (0, "") == (done.code, done.err)
    assert {"password": NEW_PASSWORD} == secrets_of(folder)


def test_secret_is_removed_without_any_key(sealed, folder):
    """Nothing sealed is left, so nothing needs a key."""
    (folder / "keys").unlink()

    done = sealed("importer", "update", "m", "--unset", "password", "--json")

    assert (0, [], "unset") == (
        done.code,
        done.document["problems"],
        done.document["config"]["password"],
    )
    assert importer(folder).sealed is None


def test_secrets_copied_to_another_importer_are_found_by_check(sealed, folder):
    """Whoever may write to the catalog cannot send them elsewhere so."""
    sealed("importer", "create", "n", *WITH_PASSWORD)
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        connection.execute(
            "UPDATE importers SET sealed = (SELECT sealed FROM importers WHERE name = 'm')"
        )
        connection.commit()

    done = sealed("catalog", "check", "--json")

    assert 1 == done.code
    assert [
        "importer 'n': its secrets were sealed for another importer: set them anew"
    ] == done.document["problems"]


@pytest.mark.parametrize("way", ["env:LINE", "@line", "-"])
def test_line_end_behind_a_secret_is_left_out(keyed, folder, way):
    """Editors, `echo` and orchestrators put one there."""
    line = f"{PASSWORD}\n"
    (folder / "line").write_text(line)
    options = ("--set", "username=u", "--set", f"password={way}")

    keyed("importer", "create", "m", *HTTP, *options, text=line.encode(), LINE=line)

    assert {"password": PASSWORD} == secrets_of(folder)


@pytest.mark.parametrize("way", ["env:EMPTY", "@empty", "-", ""])
def test_empty_secret_is_refused(sealed, folder, way):
    """A variable or a file that was not filled would go unnoticed, and the secret with it."""
    (folder / "empty").write_text("\n")

    done = sealed("importer", "update", "m", "--set", f"password={way}", EMPTY="")

    assert 2 == done.code
    assert "--set password: is empty; --unset removes" in done.err
    assert {"password": PASSWORD} == secrets_of(folder)


def test_standard_input_is_read_for_one_key_alone(keyed):
    """The second would find nothing there."""
    options = ("--set", "password=-", "--set", "bearer_token=-")

    done = keyed("importer", "create", "m", *HTTP, *options, text=PASSWORD.encode())

    assert 2 == done.code
    assert "standard input can be read for one key alone" in done.err


@pytest.mark.parametrize("way", ["@wrong", "-"])
def test_secret_that_is_no_text_is_refused_without_its_bytes(keyed, folder, way):
    """Whether it was read from a file or from standard input."""
    content = PASSWORD.encode() + b"\xff"
    (folder / "wrong").write_bytes(content)

    done = keyed("importer", "create", "m", *HTTP, "--set", f"password={way}", text=content)

    assert 2 == done.code
    assert "is not UTF-8" in done.err
    assert PASSWORD not in done.err


def test_standard_input_that_is_closed_is_refused(keyed, folder):
    """In a sentence; whatever the interpreter opened in its place meanwhile is no secret."""
    arguments = ("importer", "create", "m", *HTTP, "--set", "password=-")

    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "streamer.cli", *arguments],
        env=environ_of(folder),
        capture_output=True,
        check=False,
        timeout=60,
    )

    sentence = done.stderr.splitlines()[-1]
    assert 2 == done.returncode
    assert sentence.startswith(b"Error: --set password: ")


def test_secret_on_the_command_line_is_taken_and_told_to_be_seen(keyed, folder):
    """It stood in the process list, which nobody can take back."""
    secret = ("--set", f"password={PASSWORD}")

    made = keyed("importer", "create", "m", *HTTP, "--set", "username=u", *secret)
    changed = keyed("importer", "update", "m", *secret, "--json")

    told = [made.out, *changed.document["problems"]]
    assert [(0, ""), (0, "")] == [(made.code, made.err), (changed.code, changed.err)]
    assert [True] * 2 == ["password stood on the command line" in one for one in told]
    assert not any(PASSWORD in one for one in told)
    assert "username stood" not in made.out


def test_secret_from_elsewhere_is_told_nothing_of(sealed):
    """Whoever did it right is left alone."""
    done = sealed("importer", "update", "m", "--set", "password=env:PASSWORD", "--json")

    assert [] == done.document["problems"]


@pytest.mark.parametrize("change", ["create", "update"])
def test_plugin_that_repeats_its_config_is_not_quoted(keyed, folder, plugin, change):
    """What it raises may hold the secret, as pydantic's own sentences do."""
    if change == "update":
        with open_store(f"sqlite:///{folder}/catalog.db") as store:
            store.create_importer("c", "clumsy", {})
    kind = ("--type", "clumsy") if change == "create" else ()

    done = keyed("importer", change, "c", *kind, "--set", "password=env:PASSWORD")

    assert (2, "") == (done.code, done.out)
    assert "pulp-streamer: the importer type failed with ValueError\n" == done.err


# -- secrets that are objects --------------------------------------------------------------------


@pytest.fixture
def plugin(tmp_path_factory, monkeypatch):
    """Install an importer type `fields` with a secret object, and one that repeats its config."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "fields_plugin.py").write_text(PLUGIN + CLUMSY)
    metadata = folder / "fields_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fields-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[{GROUP}]\nfields = fields_plugin:Fields\nclumsy = fields_plugin:Clumsy\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    yield
    sys.modules.pop("fields_plugin", None)


@pytest.mark.parametrize("way", ["env:FIELDS", "@fields.json", "-"])
def test_secret_object_is_read_from_where_it_is_kept(keyed, folder, plugin, way):
    """It is JSON there, is sealed whole, and not even its names are shown."""
    text = json.dumps({"X-Key": PASSWORD})
    (folder / "fields.json").write_text(text + "\n")

    done = keyed(
        *("importer", "create", "p", "--type", "fields", "--json"),
        *("--set", f"secret_fields={way}"),
        text=text.encode(),
        FIELDS=text,
    )

    assert (0, "set") == (done.code, done.document["config"]["secret_fields"])
    assert {"secret_fields": {"X-Key": PASSWORD}} == secrets_of(folder, "p")
    assert b"X-Key" not in catalog_bytes(folder)


def test_secret_object_that_is_no_json_is_refused_without_its_text(keyed, plugin):
    """What is wrong with it may be secret."""
    done = keyed(
        *("importer", "create", "p", "--type", "fields"), "--set", "secret_fields=env:PASSWORD"
    )

    assert 2 == done.code
    assert "--set secret_fields: must be JSON and is not" in done.err
    assert PASSWORD not in done.err


@pytest.mark.parametrize("text", ['{"type": "service_account"}', "[1]", "{"])
def test_password_that_looks_like_json_is_a_text(keyed, folder, text):
    """Some services take a whole document for a password."""
    keyed("importer", "create", "m", *WITH_PASSWORD, PASSWORD=text)

    assert {"password": text} == secrets_of(folder)


def test_value_that_is_too_long_is_refused_and_not_cut(keyed):
    """Half a secret would be stored otherwise."""
    done = keyed("importer", "create", "m", *HTTP, "--set", "ca_cert=-", text=b"x" * (1024**2 + 1))

    assert 2 == done.code
    assert "--set ca_cert: is longer than" in done.err


# -- rotate --------------------------------------------------------------------------------------


def test_rotate_seals_everything_with_a_new_key_and_keeps_the_old_ones(sealed, folder):
    """Connections stay, because the revision does."""
    old, before = keys(folder), importer(folder)
    sealed("importer", "create", "plain", *HTTP)

    done = sealed("secrets", "rotate", "--json")

    new, after = keys(folder), importer(folder)
    assert (0, ["m"]) == (done.code, done.document["sealed"])
    assert old == new[1:]
    assert Keyring(folder / "keys").is_newest(after.sealed)
    assert (before.revision, before.config) == (after.revision, after.config)
    assert {"password": PASSWORD} == secrets_of(folder)


def test_rotate_leaves_what_the_operator_wrote_and_who_may_read_it(sealed, folder):
    """Comments, mode, and the link that leads to the file."""
    (folder / "keys").rename(folder / "real")
    (folder / "keys").symlink_to("real")
    text = (folder / "real").read_text()
    (folder / "real").write_text(f"# übrigens\n{text}# the end")

    sealed("secrets", "rotate")

    lines = (folder / "real").read_text().splitlines()
    assert (folder / "keys").is_symlink()
    assert 0o600 == (folder / "real").stat().st_mode & 0o777
    assert ("# übrigens", "# the end") == (lines[0], lines[-1])
    assert [*text.splitlines()[:2], text.splitlines()[2]] == [*lines[1:3], lines[4]]


def test_old_keys_are_dropped_when_nothing_needs_them(sealed, folder):
    """What was sealed with one of them is sealed with the first before it goes."""
    old_key = (folder / "keys").read_bytes()
    sealed("secrets", "rotate")
    sealed("secrets", "rotate")
    three = keys(folder)
    stale = importer(folder)
    (folder / "keys").write_bytes(old_key)
    sealed("importer", "update", "m", "--set", "password=env:PASSWORD")
    (folder / "keys").write_text("\n".join(three))

    done = sealed("secrets", "rotate", "--drop-old", "--json")

    assert (["m"], 2) == (done.document["sealed"], done.document["dropped"])
    assert three[:1] == keys(folder)
    assert {"password": PASSWORD} == secrets_of(folder)
    assert stale.sealed != importer(folder).sealed


def test_old_keys_are_dropped_from_what_a_killed_rotation_left(sealed, folder):
    """Beside the file that the link leads to, where it was being written."""
    (folder / "there[1]").mkdir()
    (folder / "keys").rename(folder / "there[1]" / "keys")
    (folder / "keys").symlink_to("there[1]/keys")
    for name in (".keys.1a2b_c3d.new", ".keys.of-mine.new"):
        (folder / "there[1]" / name).touch()

    done = sealed("secrets", "rotate", "--drop-old", "--json")

    assert (0, 0) == (done.code, done.document["dropped"])
    assert {"keys", ".keys.of-mine.new"} == {path.name for path in (folder / "there[1]").iterdir()}


def test_rotate_is_refused_where_a_secret_cannot_be_opened(sealed, folder):
    """Neither the file nor the catalog changes; the importer is named."""
    (folder / "keys").unlink()
    sealed("secrets", "init")
    before = (folder / "keys").read_bytes(), importer(folder)

    done = [sealed("secrets", "rotate", *options) for options in ([], ["--drop-old"])]

    assert [2, 2] == [one.code for one in done]
    assert all("importer 'm': no key of" in one.err for one in done)
    assert before == ((folder / "keys").read_bytes(), importer(folder))


def test_rotate_without_a_key_file_is_refused(command):
    """There is nothing to rotate; the way to begin is named."""
    done = command("secrets", "rotate")

    assert 2 == done.code
    assert "run `pulp-streamer secrets init`" in done.err


class Interruption:
    """Ctrl-C at the n-th line that is run of some modules."""

    MODULES = ("cli/secrets.py", "cli/keyfiles.py", "cli/sealing.py", "catalog/administration.py")

    def __init__(self, lines_before):
        self._lines_left = lines_before
        self._files = {str(Path(streamer.__file__).parent / name) for name in self.MODULES}

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename not in self._files:
            return None
        if event == "line":
            self._lines_left -= 1
            if self._lines_left == 0:
                raise KeyboardInterrupt
        return self._trace


# What is open at that line stays open, since it is no process that ends.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("options", [[], ["--drop-old"]], ids=["rotate", "drop-old"])
def test_rotate_may_be_interrupted_anywhere(sealed, folder, options):
    """After each line of it everything can be opened, and a rotation can be run to its end."""
    sealed("importer", "create", "n", *WITH_PASSWORD)
    interrupted = 0
    while True:
        if options:
            # The last key is first, so the secrets have to be sealed anew before one can go.
            write_keys(folder, keys(folder)[0], Fernet.generate_key().decode())
            write_keys(folder, *reversed(keys(folder)))

        with Interruption(interrupted + 1):
            done = sealed("secrets", "rotate", *options)

        for name in ("m", "n"):
            assert {"password": PASSWORD} == secrets_of(folder, name), interrupted
        if done.code == 0:
            break
        assert 130 == done.code
        interrupted += 1
        assert 0 == sealed("secrets", "rotate", "--drop-old").code
        assert 1 == len(keys(folder))

    assert interrupted > 30


def write_keys(folder, *lines):
    (folder / "keys").write_text("\n".join(lines))


# -- catalogs from before ------------------------------------------------------------------------


def test_secret_in_the_clear_is_shown_as_set_and_found_by_check(inherited):
    """It keeps working, and the operator learns what to do."""
    shown, checked = inherited("importer", "show", "m"), inherited("catalog", "check", "--json")

    assert "password: set\n" in shown.out
    assert PASSWORD not in shown.out + checked.out
    assert 1 == checked.code
    assert [
        "importer 'm' has password in the clear: run `pulp-streamer secrets init`, or "
        "`secrets rotate` if there is a key file"
    ] == checked.document["problems"]


def test_importer_in_the_clear_is_deleted_and_leaves_no_trace(inherited, folder):
    """Nor does the one that was deleted before."""
    with open_elsewhere(folder):
        done = inherited("importer", "delete", "m", "--json")
        after = catalog_bytes(folder)

    assert {"deleted": "m", "problems": []} == done.document
    assert not any(text.encode() in after for text in (PASSWORD, OLDER_PASSWORD))


def test_init_leaves_no_trace_where_nothing_is_left_to_seal(inherited, folder):
    """An importer may have been changed before there was a key."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        connection.execute("UPDATE importers SET config = '{}'")
        connection.commit()
    before = catalog_bytes(folder)

    with open_elsewhere(folder):
        inherited("secrets", "init")
        after = catalog_bytes(folder)

    assert OLDER_PASSWORD.encode() in before
    assert not any(text.encode() in after for text in (PASSWORD, OLDER_PASSWORD))


def test_secret_in_the_clear_is_unset_and_leaves_no_trace(inherited, folder):
    """For which no key is needed."""
    with open_elsewhere(folder):
        done = inherited("importer", "update", "m", "--unset", "password", "--json")
        after = catalog_bytes(folder)

    assert ("unset", []) == (done.document["config"]["password"], done.document["problems"])
    assert not any(text.encode() in after for text in (PASSWORD, OLDER_PASSWORD))


@pytest.mark.parametrize("way", ["init", "rotate", "update"])
def test_secret_in_the_clear_is_sealed_and_leaves_no_trace(inherited, folder, way):
    """Neither in the catalog nor in what SQLite keeps beside it; the upgrade's copy is older."""
    if way != "init":
        write_key(folder)
    before = catalog_bytes(folder)
    commands = {
        "init": ("secrets", "init"),
        "rotate": ("secrets", "rotate"),
        "update": ("importer", "update", "m", "--set", "connect_timeout=3"),
    }

    with open_elsewhere(folder):
        done = inherited(*commands[way])
        after = catalog_bytes(folder)

    assert (0, "") == (done.code, done.err)
    assert {"password": PASSWORD} == secrets_of(folder)
    for text in (PASSWORD, OLDER_PASSWORD):
        assert (True, False) == (text.encode() in before, text.encode() in after)
    assert 0 == inherited("catalog", "check").code


def test_file_that_is_being_read_is_said_to_hold_what_was_in_the_clear(inherited, folder):
    """Whoever goes on reading keeps SQLite from forgetting it."""
    database = Database(f"sqlite:///{folder}/catalog.db", time_limit_seconds=0.1)
    with (
        CatalogStore(database, lambda: 0.0) as store,
        closing(sqlite3.connect(folder / "catalog.db", isolation_level=None)) as reader,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM importers").fetchall()
        busy = rewritten(store)
        reader.execute("COMMIT")
        idle = rewritten(store)

    assert ["the catalog's file may still hold what was in the clear"] == [
        one.partition(":")[0] for one in busy
    ]
    assert [] == idle


@contextlib.contextmanager
def open_elsewhere(folder):
    """As while the service runs: whoever closes the catalog is not the last, who tidies up."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        connection.execute("SELECT count(*) FROM importers").fetchall()
        yield


def write_key(folder):
    """A key file that was brought from another machine."""
    assert 0 == command_in(folder)("secrets", "init", "--catalog", f"sqlite:///{folder}/x.db").code


def test_init_says_what_it_sealed_and_that_older_copies_are_not(inherited):
    """The operator has something left to do."""
    done = inherited("secrets", "init")

    assert "sealed what was in the clear: m\n" in done.out
    assert "older copies of the catalog still hold it: delete them" in done.out


def test_update_without_a_key_leaves_in_the_clear_what_is_in_the_clear(inherited, folder):
    """Nothing gets worse, and nobody is kept from changing a URL."""
    done = inherited("importer", "update", "m", "--url", "https://other/")

    stored = importer(folder)
    assert (0, "https://other/", PASSWORD, None) == (
        done.code,
        stored.config["url"],
        stored.config["password"],
        stored.sealed,
    )


def test_new_secret_in_the_place_of_one_in_the_clear_needs_a_key(inherited, folder):
    """No secret is written in the clear any more."""
    done = inherited("importer", "update", "m", "--set", "password=-", text=b"other")

    assert 2 == done.code
    assert PASSWORD == importer(folder).config["password"]


def test_key_file_of_another_owner_stays_theirs(sealed, folder):
    """Root rotates, and the service may still read it."""
    is_root = os.geteuid() == 0
    owner = (12345, 12346) if is_root else (os.geteuid(), [os.getegid(), *os.getgroups()][-1])
    os.chown(folder / "keys", *owner)

    sealed("secrets", "rotate")

    status = (folder / "keys").stat()
    assert (*owner, 0o600) == (status.st_uid, status.st_gid, status.st_mode & 0o777)
