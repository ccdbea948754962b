"""Settings: where they are looked for, how values are written, and what is refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from streamer.errors import SettingInvalid
from streamer.settings import KEYS, Settings, load_settings

pytestmark = pytest.mark.subset

ROOT = Path(__file__).parent.parent
DEFAULT_FILE = ROOT / "etc" / "streamer.toml"


@pytest.fixture
def absent(tmp_path):
    """Stand for /etc/pulp-streamer/streamer.toml where there is none."""
    return tmp_path / "absent.toml"


def written(folder, text, name="streamer.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(config_file, environ=()):
    with pytest.raises(SettingInvalid) as caught:
        load_settings(config_file, dict(environ))
    return str(caught.value)


# -- where they are looked for -------------------------------------------------------------------


def test_settings_without_file_and_environment_are_the_defaults(absent):
    """Nothing set means the built-in defaults."""
    assert Settings() == load_settings(None, {}, absent)


def test_commented_default_file_sets_every_key_to_its_default():
    """The file that operators copy says nothing else than the code."""
    sections = tomllib.loads(DEFAULT_FILE.read_text(encoding="utf-8"))
    named = {f"{section}.{key}" for section, content in sections.items() for key in content}

    assert set(KEYS) == named
    assert Settings() == load_settings(DEFAULT_FILE, {})


def test_documentation_names_every_key():
    """An operator finds each setting in docs/configuration.md."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")

    assert set(KEYS) == {key for key in KEYS if f"`{key}`" in text}


def test_named_file_counts_before_the_environments_and_the_systems(tmp_path):
    """`--config` is the most specific wish."""
    named = written(tmp_path, "catalog.keep = 5")
    other = written(tmp_path, "catalog.keep = 6", "other.toml")

    assert 5 == load_settings(named, {"PULP_STREAMER_CONFIG": str(other)}, other).catalog.keep


def test_environments_file_counts_before_the_systems(tmp_path):
    """`PULP_STREAMER_CONFIG` is looked at next."""
    named = written(tmp_path, "catalog.keep = 5")
    system = written(tmp_path, "catalog.keep = 6", "system.toml")

    assert 5 == load_settings(None, {"PULP_STREAMER_CONFIG": str(named)}, system).catalog.keep


def test_systems_file_counts_where_no_other_is_named(tmp_path):
    """The file below /etc is found by itself."""
    system = written(tmp_path, "catalog.keep = 6")

    assert 6 == load_settings(None, {}, system).catalog.keep


def test_variable_overrides_the_file_and_leaves_its_neighbours(tmp_path):
    """The environment changes one key, not its section."""
    path = written(tmp_path, '[delivery]\nidle = "1s"\ndrain = "2s"\n')

    settings = load_settings(path, {"PULP_STREAMER__DELIVERY__IDLE": "9s"})

    assert (9.0, 2.0) == (settings.delivery.idle_seconds, settings.delivery.drain_seconds)


@pytest.mark.parametrize("variable", ["PULP_STREAMER_CONFIG", "PULP_STREAMERS__X", "HOME"])
def test_variable_of_another_form_is_nobodys_business(absent, variable):
    """Only the documented form is looked at; an empty file name is none."""
    assert Settings() == load_settings(None, {variable: ""}, absent)


# -- how values are written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written_as", "expected"),
    [
        ("500ms", 0.5),
        ("12s", 12.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("90", 90.0),
        ("0.25", 0.25),
    ],
)
def test_time_with_a_unit_is_read_as_seconds(absent, written_as, expected):
    """Times carry their unit; without one they are seconds."""
    settings = load_settings(None, {"PULP_STREAMER__DELIVERY__FIRST_BYTE": written_as}, absent)

    assert expected == settings.delivery.first_byte_seconds


@pytest.mark.parametrize(
    ("written_as", "expected"), [("0", 0.0), ("0s", 0.0), ("10s", 10.0), ("1m", 60.0)]
)
def test_time_that_may_be_never_is_read_with_its_nought(absent, written_as, expected):
    """Nothing is remembered for no time at all."""
    settings = load_settings(None, {"PULP_STREAMER__ORIGINS__REMEMBER_MISSING": written_as}, absent)

    assert expected == settings.origins.remember_missing_seconds


@pytest.mark.parametrize("value", ["12", "0.5"])
def test_time_that_is_a_toml_number_is_seconds(tmp_path, value):
    """In the file a number needs no quotes."""
    path = written(tmp_path, f"delivery.idle = {value}")

    assert float(value) == load_settings(path, {}).delivery.idle_seconds


@pytest.mark.parametrize(
    ("written_as", "expected"),
    [("1", 1), ("65536", 65536), ("64KiB", 65536), ("10MiB", 10485760), ("16 MiB", 16777216)],
)
def test_size_with_a_unit_is_read_as_bytes(absent, written_as, expected):
    """Sizes carry a binary unit; without one they are bytes."""
    settings = load_settings(None, {"PULP_STREAMER__DELIVERY__SMALL": written_as}, absent)

    assert expected == settings.delivery.small_bytes


@pytest.mark.parametrize(
    "written_as",
    ["tcp:1,unix:/run/a.sock", "tcp:1, unix:/run/a.sock", '["tcp:1","unix:/run/a.sock"]'],
)
def test_list_in_the_environment_is_json_or_has_commas(absent, written_as):
    """A shell has no lists, so both ways of writing one are read."""
    settings = load_settings(None, {"PULP_STREAMER__CONTENT__LISTEN": written_as}, absent)

    assert ("tcp:1", "unix:/run/a.sock") == settings.content.listen


@pytest.mark.parametrize(
    ("written_as", "expected"),
    [
        ("", ()),
        ("[]", ()),
        ("/srv", ("/srv",)),
        ("//srv//mirror/", ("/srv/mirror",)),
        ("/srv, /mnt/a b", ("/srv", "/mnt/a b")),
        ('["/srv/a,b"]', ("/srv/a,b",)),
    ],
)
def test_folders_are_read_in_their_one_form(absent, written_as, expected):
    """There may be none."""
    settings = load_settings(None, {"PULP_STREAMER__IMPORTERS__FILE_ROOTS": written_as}, absent)

    assert expected == settings.importers.file_roots


@pytest.mark.parametrize(
    ("written_as", "expected"),
    [
        ("", ""),
        ("/", ""),
        ("/pulp/content", "/pulp/content"),
        ("/pulp/content/", "/pulp/content"),
        ("pulp/content", "/pulp/content"),
        ("/a-b_c.d~e", "/a-b_c.d~e"),
    ],
)
def test_prefix_is_normalised_to_a_leading_slash_and_no_trailing_one(absent, written_as, expected):
    """However it is written, the rest of the program sees one form."""
    settings = load_settings(None, {"PULP_STREAMER__CONTENT__PREFIX": written_as}, absent)

    assert expected == settings.content.prefix


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CATALOG__URL", "mysql://h/db"),
        ("CATALOG__URL", "sqlite://"),
        ("CATALOG__URL", "sqlite:///:memory:"),
        ("CATALOG__URL", "postgresql://h"),
        ("CATALOG__URL", "postgresql://[h/db"),
        ("CATALOG__KEEP", "0"),
        ("CATALOG__KEEP", "many"),
        ("CONTENT__LISTEN", ""),
        ("CONTENT__LISTEN", "[]"),
        ("CONTENT__LISTEN", "[1]"),
        ("CONTENT__LISTEN", '["tcp:1"'),
        ("CONTENT__LISTEN", "8751"),
        ("CONTENT__PREFIX", "/a//b"),
        ("CONTENT__PREFIX", "//host"),
        ("CONTENT__PREFIX", "/a/../b"),
        ("CONTENT__PREFIX", "/a/./b"),
        ("CONTENT__PREFIX", "/a b"),
        ("CONTENT__PREFIX", "/a?b"),
        ("CONTENT__PREFIX", "/a%20b"),
        ("CONTENT__PREFIX", "/ä"),
        ("CONTENT__PREFIX", "/a\n"),
        ("CONTENT__LISTINGS", "perhaps"),
        ("CONTENT__MAX_CONNECTIONS", "-1"),
        ("ADMIN__LISTEN", ""),
        ("DELIVERY__SMALL", "0"),
        ("DELIVERY__SMALL", "-1"),
        ("DELIVERY__SMALL", "1.5"),
        ("DELIVERY__SMALL", "64kb"),
        ("DELIVERY__SMALL", "17MiB"),
        ("DELIVERY__SLOW", "-1"),
        ("DELIVERY__SLOW", "64KiB/s"),
        ("DELIVERY__IDLE", "0"),
        ("DELIVERY__IDLE", "0s"),
        ("DELIVERY__IDLE", "-5s"),
        ("DELIVERY__IDLE", "5d"),
        ("DELIVERY__IDLE", "inf"),
        ("DELIVERY__IDLE", "nan"),
        ("DELIVERY__IDLE", ""),
        ("ORIGINS__BREAKER_FAILURES", "-1"),
        ("ORIGINS__BREAKER_FAILURES", "1.5"),
        ("ORIGINS__BREAKER_PAUSE", "0"),
        ("ORIGINS__QUARANTINE", "0"),
        ("ORIGINS__REMEMBER_MISSING", "-1s"),
        ("ORIGINS__REMEMBER_MISSING", "never"),
        ("IMPORTERS__FILE_ROOTS", "/"),
        ("IMPORTERS__FILE_ROOTS", "srv"),
        ("IMPORTERS__FILE_ROOTS", "/srv,"),
        ("IMPORTERS__FILE_ROOTS", "/srv/../etc"),
        ("IMPORTERS__FILE_ROOTS", "/srv/./a"),
        ("IMPORTERS__FILE_ROOTS", '["/srv\\u0000"]'),
        ("IMPORTERS__FILE_ROOTS", "[1]"),
        ("LOG__FORMAT", "xml"),
    ],
)
def test_value_that_is_not_allowed_is_named_with_what_is(key, value):
    """The one line says which variable, and what may stand there."""
    allowed = KEYS[key.lower().replace("__", ".")].description

    assert f"PULP_STREAMER__{key} in the environment: must be {allowed}" == refusal(
        None, {f"PULP_STREAMER__{key}": value}
    )


@pytest.mark.parametrize(
    "text",
    ["catalog.keep = true", "catalog.keep = 2.5", "delivery.idle = true", "delivery.idle = inf"],
)
def test_toml_value_of_another_type_is_refused(tmp_path, text):
    """`true` is not the number one."""
    assert f"{text.split()[0]} in {tmp_path}/streamer.toml: must be" in refusal(
        written(tmp_path, text)
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "[delivery]\nfirstbyte = 1",
            "delivery.firstbyte in {}: no such setting; did you mean delivery.first_byte?",
        ),
        (
            "[delivery]\nfirst_byte_seconds = 1",
            "delivery.first_byte_seconds in {}: no such setting;",
        ),
        (
            "[catalogue]\nkeep = 1",
            "section [catalogue] in {}: no such setting; did you mean catalog?",
        ),
        ("[memory]\nbudget = '1GiB'", "section [memory] in {}: no such setting; there are admin,"),
        ("catalog = 3", "catalog in {}: must be a section, [catalog]"),
        ("catalog.keep = [", "{}: is not TOML (at end of document)"),
    ],
)
def test_file_with_something_unknown_is_refused(tmp_path, text, complaint):
    """A misspelt key is found at start, with the closest known one."""
    path = written(tmp_path, text)

    assert complaint.format(path) in refusal(path)


@pytest.mark.parametrize(
    ("variable", "complaint"),
    [
        ("PULP_STREAMER__DELIVERY__IDEL", "did you mean PULP_STREAMER__DELIVERY__IDLE?"),
        ("PULP_STREAMER__DELIVERY", "no such setting;"),
        ("PULP_STREAMER__", "no such setting;"),
        ("PULP_STREAMER__delivery__idle", "no such setting;"),
        ("PULP_STREAMER__DELIVERY__IDLE__X", "did you mean PULP_STREAMER__DELIVERY__IDLE?"),
    ],
)
def test_variable_that_is_unknown_is_refused(variable, complaint):
    """A variable of the documented form that names nothing is an error, not noise."""
    message = refusal(None, {variable: "1"})

    assert message.startswith(f"{variable} in the environment: ")
    assert complaint in message


def test_file_that_is_absent_is_refused_when_it_was_named(absent):
    """Falling back to defaults would start the wrong service."""
    assert f"{absent}: cannot be read: No such file or directory" == refusal(absent)


def test_file_that_is_not_utf_8_is_refused(tmp_path):
    """TOML is UTF-8."""
    path = tmp_path / "streamer.toml"
    path.write_bytes(b"catalog.keep = 1 # \xff")

    assert f"{path}: must be UTF-8" == refusal(path)


# -- secrets -------------------------------------------------------------------------------------


def test_catalog_url_is_shown_without_its_password_and_revealed_with_it(absent):
    """The password reaches the driver and nobody else."""
    url = "postgresql://user:hunter2@host/catalog?sslpassword=hunter2"
    settings = load_settings(None, {"PULP_STREAMER__CATALOG__URL": url}, absent)

    assert url == settings.catalog.url.reveal()
    assert "postgresql://user@host/catalog?…" == str(settings.catalog.url)
    assert not re.search("hunter2", repr(settings))


def test_refused_catalog_url_is_not_repeated():
    """A complaint about a URL does not show its password."""
    environ = {"PULP_STREAMER__CATALOG__URL": "mysql://user:hunter2@host/catalog"}

    assert "hunter2" not in refusal(None, environ)


@pytest.mark.parametrize("name", ["catalog.db", "folder/../catalog.db", "link.db"])
def test_store_of_pieces_in_the_catalogs_own_file_is_refused(tmp_path, absent, name):
    """However it is written: the catalog is not to be shared with what may be deleted."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.db").symlink_to("catalog.db")
    environ = {
        "PULP_STREAMER__CATALOG__URL": f"sqlite:///{tmp_path}/catalog.db",
        "PULP_STREAMER__PIECES__URL": f"sqlite:///{tmp_path}/{name}",
    }

    with pytest.raises(SettingInvalid) as caught:
        load_settings(None, environ, absent)

    expected = "PULP_STREAMER__PIECES__URL in the environment: must not be the catalog's own file"
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("catalog", "store"),
    [
        ("sqlite:////a/catalog.db", "sqlite:////a/catalog.db.pieces"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u@h/d", "sqlite:////a/pieces.db"),
    ],
    ids=["other-file", "same-database", "other-kind"],
)
def test_store_of_pieces_lies_where_it_clashes_with_nothing(absent, catalog, store):
    """The tables of both have names of their own in a server's database."""
    environ = {"PULP_STREAMER__CATALOG__URL": catalog, "PULP_STREAMER__PIECES__URL": store}

    url = load_settings(None, environ, absent).pieces.url

    assert store == url.reveal()
