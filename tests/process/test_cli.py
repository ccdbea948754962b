"""The admin command: its commands, its exit codes, what it says and where.

Most tests run it within this process, which saves half a second a call: `command` gives it a
standard input and outputs that are real files, an environment and a folder, and takes its exit
code. `process` starts a real one, where signals, terminals, pipes or the reactor matter. Each
test has a SQLite catalog of its own. Fetching is tried in `test_cli_fetch`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys

import pytest
from commands import command_in, environ_of, process_in

from streamer.cli.frame import Invocation
from streamer.cli.progress import Progress, lines_now_and_then

CONTENT = b"what is fetched\n" * 20_000
SMALL = b"small\n"


@pytest.fixture
def environ(tmp_path):
    return environ_of(tmp_path)


@pytest.fixture
def command(tmp_path):
    """Run the command in a folder of its own, where there is no catalog yet."""
    return command_in(tmp_path)


@pytest.fixture
def process(tmp_path):
    """As `command`, in a process of its own."""
    return process_in(tmp_path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a catalog of two publications, for commands that change nothing."""
    folder = tmp_path_factory.mktemp("prepared")
    run = command_in(folder)
    assert 0 == run("importer", "create", "m", "--type", "http", "--url", "http://h/").code
    shutil.copy(folder / "catalog.db", folder / "importer-only.db")
    for name in ("one", "two"):
        text = entry(name)
        assert 0 == run("publish", "a/b", "--importer", "m", "--entries", "-", text=text).code
    return folder


@pytest.fixture
def mirror(tmp_path, prepared):
    """An importer whose origin nobody needs, in a catalog without publications."""
    shutil.copy(prepared / "importer-only.db", tmp_path / "catalog.db")
    return "m"


def entry(path, content=SMALL, **changes):
    stated = {
        "path": path,
        "digests": {"sha256": hashlib.sha256(content).hexdigest()},
        "size": len(content),
        "sources": [{"url": path}],
    }
    return json.dumps(stated | changes).encode() + b"\n"


@pytest.fixture
def publish(command, mirror):
    """Publish entries at `a/b`."""

    def run(*lines, base_path="a/b", options=()):
        arguments = ("publish", base_path, "--importer", mirror, "--entries", "-", *options)
        return command(*arguments, text=b"".join(lines))

    return run


# -- usage, options, exit codes ------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["importer"],
        ["importer", "create"],
        ["importer", "update"],
        ["publish"],
        ["distribution", "rollback"],
        ["publication", "delete"],
        ["withdraw"],
        ["resolve"],
        ["fetch"],
        ["catalog", "prune"],
        ["secrets"],
        ["secrets", "init"],
        ["secrets", "rotate"],
    ],
)
def test_every_command_explains_itself(command, arguments):
    """`--help` costs no catalog."""
    done = command(*arguments, "--help", PULP_STREAMER__CATALOG__URL="nonsense")

    assert (0, "") == (done.code, done.err)
    assert f"Usage: {' '.join(['pulp-streamer', *arguments])} " in done.out


@pytest.mark.parametrize(
    "group", [[], ["importer"], ["distribution"], ["publication"], ["catalog"], ["secrets"]]
)
def test_list_of_commands_says_of_each_a_whole_sentence(command, group):
    """Even on a narrow terminal none of them ends in dots."""
    listed = command(*group, "--help", COLUMNS="80").out.partition("\nCommands:\n")[2]

    sentences = listed.partition("\n\n")[0].splitlines()

    assert sentences
    assert [] == [sentence for sentence in sentences if not sentence.endswith(".")]
    assert "..." not in "".join(sentences)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["importer", "nonsense"],
        ["importer", "list", "--nonsense"],
        ["importer", "create", "m"],
        ["importer", "create", "m", "--type", "http", "--set", "url"],
        ["importer", "create", "m", "--type", "http", "--set", "password=env:ABSENT"],
        ["importer", "create", "m", "--type", "http", "--set", "password=@absent"],
        ["importer", "create", "m", "--type", "nonsense", "--url", "http://h/"],
        ["importer", "create", "m", "--type", "http", "--url", "nonsense"],
        ["publish", "a/b", "--importer", "m"],
        ["publish", "a/b", "--manifest", "absent", "--importer", "m"],
        ["withdraw", "sha256:abc"],
        ["--config", "absent.toml", "importer", "list"],
        ["importer", "list", "--catalog", "mysql://h/db"],
        ["importer", "list", "--catalog", ""],
        ["importer", "update", "m"],
    ],
)
def test_wrong_usage_exits_with_two_and_says_so_in_json(command, arguments):
    """A script learns in its own language that it is wrong."""
    done = command(*arguments, "--json")

    assert (2, "", {"kind", "message"}) == (done.code, done.out, set(done.error))


def test_wrong_usage_is_told_a_person_with_the_way_to_help(command):
    """Without `--json` it is prose."""
    done = command("importer", "list", "--nonsense")

    assert (2, "") == (done.code, done.out)
    assert "Try 'pulp-streamer importer list --help' for help." in done.err
    assert "--nonsense" in done.err.splitlines()[-1]


def test_wrong_catalog_option_is_named_as_it_was_given(command):
    """What an operator did not write is not what has to be changed."""
    done = command("importer", "list", "--catalog", "mysql://hunter2@h/db")

    assert (2, "") == (done.code, done.out)
    assert done.err == (
        "pulp-streamer: --catalog: must be sqlite:///PATH or postgresql://USER@HOST/DATABASE\n"
    )


def test_common_options_are_shown_without_the_url_of_the_catalog():
    """Wherever somebody prints them: it may hold a password."""
    assert "hunter2" not in repr(Invocation(catalog_url="postgresql://u:hunter2@h/db"))


def test_process_ends_with_the_exit_code_and_the_outputs_of_its_command(process):
    """What all tests below rely on that run the command without a process."""
    done = process("importer", "show", "none", "--json")

    assert (1, "", "there is no importer 'none'") == (done.code, done.out, done.error["message"])


def test_catalog_that_is_away_exits_with_three(command, free_port):
    """Trying again may help, unlike with other failures."""
    url = f"postgresql://user:hunter2@127.0.0.1:{free_port()}/catalog"

    done = command("importer", "list", "--json", "--catalog", url)

    assert (3, "CatalogUnavailable") == (done.code, done.error["kind"])
    assert "hunter2" not in done.out + done.err


def test_catalog_that_is_something_else_is_refused_and_left_alone(command, tmp_path):
    """A wrong file name destroys nothing."""
    (tmp_path / "catalog.db").write_bytes(b"precious")

    done = command("importer", "list")

    assert (1, "") == (done.code, done.out)
    assert b"precious" == (tmp_path / "catalog.db").read_bytes()


def test_common_options_count_before_and_after_the_command(command, tmp_path):
    """Wherever they stand, they mean the same."""
    other = f"sqlite:///{tmp_path}/other.db"
    command("importer", "create", "m", "--type", "http", "--url", "http://h/", "--catalog", other)

    before = command("--catalog", other, "--json", "importer", "list")
    between = command("importer", "--catalog", other, "list", "--json")
    after = command("importer", "list", "--json", "--catalog", other)
    without = command("importer", "list", "--json")

    assert ["m"] == [document["name"] for document in before.document]
    assert before == between == after
    assert [] == without.document


def test_settings_come_from_the_named_file(command, tmp_path):
    """`--config` is read by the admin command as by the service."""
    path = tmp_path / "streamer.toml"
    path.write_text(f'catalog.url = "sqlite:///{tmp_path}/named.db"\n')

    done = command("importer", "list", "--config", path, PULP_STREAMER__CATALOG__URL="")

    assert 2 == done.code
    assert "PULP_STREAMER__CATALOG__URL in the environment: must be" in done.err


# -- importers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["env:PASSWORD", "@secret.txt", "-"])
def test_secret_is_read_from_where_it_is_kept_and_never_shown(command, tmp_path, way):
    """It is stored, and only said to be set."""
    command("secrets", "init")
    (tmp_path / "secret.txt").write_text("hunter2\n")
    made = command(
        *("importer", "create", "m", "--type", "http", "--url", "http://h/", "--json"),
        *("--set", "username=u", "--set", f"password={way}"),
        text=b"hunter2\n",
        PASSWORD="hunter2",
    )
    shown, listed = command("importer", "show", "m"), command("importer", "list", "--json")

    assert (0, "") == (made.code, made.err)
    assert ("set", "set") == (
        made.document["config"]["password"],
        listed.document[0]["config"]["password"],
    )
    assert "password: set\n" in shown.out
    assert "hunter2" not in made.out + shown.out + listed.out


def test_show_begins_with_the_url_and_has_the_other_keys_by_name(command, mirror):
    """Secrets among them, whether they are set or not."""
    shown = command("importer", "show", "m").out.splitlines()
    keys = [line.partition(":")[0] for line in shown]

    assert ["name", "type", "url"] == keys[:3]
    assert sorted(keys[3:]) == keys[3:]
    assert {"max_retries", "password"} <= set(keys[3:])


def test_update_changes_the_keys_it_names_and_leaves_the_others(command, mirror):
    """A new revision has new connections; what was not named stays."""
    command("secrets", "init")
    command("importer", "update", "m", "--set", "username=u", "--set", "password=1234")
    command("importer", "update", "m", "--url", "https://other/")

    document = command("importer", "update", "m", "--unset", "password", "--json").document

    assert ("https://other/", "u", "unset") == tuple(
        document["config"][key] for key in ("url", "username", "password")
    )
    assert 4 == document["revision"]


def test_config_file_is_overridden_by_the_options_beside_it(command, tmp_path):
    """The command line is the last word."""
    (tmp_path / "m.json").write_text('{"url": "http://file/", "connect_timeout": 3}')

    document = command(
        *("importer", "create", "m", "--type", "http", "--config-file", "m.json"),
        *("--url", "http://option/", "--json"),
    ).document

    assert ("http://option/", 3.0) == (
        document["config"]["url"],
        document["config"]["connect_timeout"],
    )


def test_refused_config_is_named_without_its_value_and_changes_nothing(command, mirror):
    """A misspelt key may hold a secret."""
    done = command("importer", "update", "m", "--set", "pasword=hunter2")

    assert (2, "") == (done.code, done.out)
    assert "pasword" in done.err
    assert "hunter2" not in done.err
    assert 1 == command("importer", "show", "m", "--json").document["revision"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["importer", "show", "none"],
        ["importer", "delete", "none"],
        ["importer", "update", "none", "--url", "http://h/"],
        ["importer", "update", "m", "--unset", "password"],
        ["importer", "create", "m", "--type", "http", "--url", "http://h/"],
        ["distribution", "show", "none"],
        ["distribution", "rollback", "none"],
        ["distribution", "rollback", "a/b", "--to", "9"],
        ["distribution", "delete", "none"],
        ["publication", "list", "none"],
        ["publication", "delete", "999"],
        ["withdraw", "a/b/none"],
        ["withdraw", "--undo", "a/b/one"],
        ["resolve", "a/b/none"],
        ["resolve", "none", "--explain"],
        ["fetch", "a/b/none", "--output", "f"],
        ["publication", "delete", "2"],
        ["publish", "../a", "--entries", "-"],
        ["publish", "a", "--entries", "-", "--importer", "none"],
        ["importer", "delete", "m"],
    ],
)
def test_operation_that_cannot_be_done_exits_with_one_and_changes_nothing(prepared, arguments):
    """What does not exist, exists already or is needed is refused in a sentence."""
    before = (prepared / "catalog.db").read_bytes()

    done = command_in(prepared)(*arguments, "--json")

    assert (1, "", {"kind", "message"}) == (done.code, done.out, set(done.error))
    assert before == (prepared / "catalog.db").read_bytes()


def test_operation_that_cannot_be_done_is_told_a_person_in_one_line(prepared):
    """Without a traceback."""
    done = command_in(prepared)("importer", "delete", "none")

    assert (1, "", "pulp-streamer: there is no importer 'none'\n") == done


def test_types_lists_what_this_installation_can_do(command):
    """The built-in type is always there."""
    documents = command("importer", "types", "--json").document

    assert {"type": "http", "usable": True, "state": "usable"} in documents


# -- publishing ----------------------------------------------------------------------------------


def test_publish_ends_with_a_summary(publish):
    """What was promised, and under which number."""
    done = publish(entry("one", CONTENT), entry("two"))

    assert (0, "") == (done.code, done.err)
    assert done.out.startswith(
        "published a/b as publication 1 (id 1): 2 entries, 312.5 KiB promised, "
    )


def test_publish_in_json_prints_one_document_and_nothing_else(publish):
    """A script need not read prose."""
    done = publish(entry("one"), entry("two"), options=("--json",))

    assert (0, "") == (done.code, done.err)
    assert {
        "base_path": "a/b",
        "publication": 1,
        "id": 1,
        "entries": 2,
        "bytes": 2 * len(SMALL),
    } == {key: value for key, value in done.document.items() if key != "seconds"}


def test_manifest_is_published_with_itself_beside_its_entries(command, mirror, tmp_path):
    """Who reads the publication as a repository finds its manifest."""
    digest = hashlib.sha256(SMALL).hexdigest()
    (tmp_path / "PULP_MANIFEST").write_text(f"a+b,{digest},6\n")

    done = command("publish", "files", "--importer", mirror, "--manifest", "PULP_MANIFEST")
    promised = command("resolve", "files/a+b", "--json").document
    itself = command("resolve", "files/PULP_MANIFEST", "--json").document

    assert 0 == done.code
    assert ({"sha256": digest}, 6) == (promised["digests"], promised["size"])
    assert [{"importer": "m", "url": "a%2Bb", "priority": 0}] == promised["sources"]
    assert (True, "mutable", []) == (itself["held"], itself["cache"], itself["sources"])


def test_held_file_is_looked_for_beside_the_entries_file(command, process, tmp_path):
    """Entries and what they refer to move together; no importer is needed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "repomd.xml").write_bytes(SMALL)
    line = {"path": "repodata/repomd.xml", "content_file": "repomd.xml"}
    (folder / "entries.jsonl").write_text(json.dumps(line))

    assert 0 == command("publish", "a", "--entries", "folder/entries.jsonl").code
    fetched = process("fetch", "a/repodata/repomd.xml")

    assert (0, SMALL.decode(), "") == fetched


def test_wrong_lines_are_all_named_and_nothing_is_published(publish, command):
    """Line numbers, what and why, for several lines at once."""
    assert 0 == publish(entry("before")).code

    done = publish(b"{\n", entry("good"), entry("../x"), entry("more"), options=("--json",))

    assert (1, "", "EntriesRejected") == (done.code, done.out, done.error["kind"])
    assert [
        {"line": 1, "why": "is not JSON at character 2"},
        {"line": 3, "why": "path '../x' has an empty, '.' or '..' segment"},
    ] == done.error["lines"]
    assert 1 == len(command("publication", "list", "a/b", "--json").document)
    assert [] == command("catalog", "check", "--json").document["problems"]


def test_reading_stops_after_twenty_wrong_lines(publish):
    """A wrong file is found out quickly."""
    done = publish(*[b"{\n"] * 1000)

    assert 1 == done.code
    assert [
        *(f"pulp-streamer: line {number}: is not JSON at character 2" for number in range(1, 21)),
        "pulp-streamer: nothing was published",
    ] == done.err.splitlines()


@pytest.mark.parametrize("option", ["--entries", "--manifest"])
def test_file_that_cannot_be_read_to_its_end_is_named_and_nothing_is_published(
    command, mirror, option
):
    """A disk that fails is no reason for a traceback."""
    done = command("publish", "a", "--importer", "m", option, "/proc/self/mem")

    expected = "pulp-streamer: /proc/self/mem cannot be read: Input/output error\n"
    assert (1, "", expected) == done
    assert [] == command("distribution", "list", "--json").document


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([entry("one"), entry("one")], "line 2: the path 'one' is on line 1 already"),
        ([entry("one"), entry("two", size=7)], "line 2: sha256:"),
        ([entry("one", sources=[{"url": "x", "importer": "none"}])], "there is no importer 'none'"),
        ([entry("one", sources=[{"url": "ftp://h/x"}])], "its importer can do http, https"),
    ],
)
def test_line_that_contradicts_the_catalog_or_another_line_is_named(publish, command, lines, why):
    """What only all lines together show is found as well."""
    done = publish(*lines)

    assert 1 == done.code
    assert why in done.err
    assert [] == command("distribution", "list", "--json").document


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [(signal.SIGINT, 130, b"pulp-streamer: interrupted\n"), (signal.SIGTERM, 143, b"")],
)
def test_publish_that_is_ended_leaves_nothing_behind(
    command, mirror, tmp_path, environ, ending, code, said
):
    """Ctrl-C, or whoever ends a job: the shell's code for it, and no work for `prune`."""
    running = subprocess.Popen(
        [sys.executable, "-m", "streamer.cli", "publish", "a", "--importer", "m", "--entries", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environ,
    )
    with running:
        for number in range(20_000):  # more than the pipe and one batch hold: it is at work
            running.stdin.write(entry(f"path-{number}"))
        running.stdin.flush()
        running.send_signal(ending)
        message = running.stderr.read()

    # A terminal shows ^C, so what is said begins on a new line; a slow machine shows progress.
    told = [line for line in message.splitlines() if line and not line.endswith(b" entries")]
    assert (code, said.splitlines()) == (running.returncode, told)
    assert [] == command("distribution", "list", "--json").document
    assert [] == command("catalog", "check", "--json").document["problems"]


def test_publish_that_is_killed_leaves_nothing_visible_and_prune_clears_it(
    command, mirror, tmp_path, environ
):
    """Not even SIGKILL shows half a publication."""
    running = subprocess.Popen(
        [sys.executable, "-m", "streamer.cli", "publish", "a", "--importer", "m", "--entries", "-"],
        stdin=subprocess.PIPE,
        cwd=tmp_path,
        env=environ,
    )
    with running:
        for number in range(20_000):
            running.stdin.write(entry(f"path-{number}"))
        running.stdin.flush()
        running.kill()
    left = command("catalog", "check", "--json")

    pruned = command("catalog", "prune", "--unfinished-age", "1ms", "--json").document

    assert [] == command("distribution", "list", "--json").document
    assert (1, 1) == (left.code, len(left.document["problems"]))
    assert 1 == pruned["unfinished"]
    assert (0, {"problems": []}) == (
        (after := command("catalog", "check", "--json")).code,
        after.document,
    )


def test_publish_shows_a_bar_where_stderr_is_a_terminal(mirror, environ, tmp_path):
    """Somebody watches; the summary still goes to standard output."""
    ours, theirs = pty.openpty()
    arguments = ["publish", "a", "--importer", "m", "--entries", "-"]
    with os.fdopen(ours, "rb") as screen, os.fdopen(theirs, "wb") as terminal:
        done = subprocess.run(
            [sys.executable, "-m", "streamer.cli", *arguments],
            input=entry("one"),
            stdout=subprocess.PIPE,
            stderr=terminal,
            cwd=tmp_path,
            env=environ | {"TERM": "xterm"},
            timeout=60,
            check=False,
        )
        shown = os.read(screen.fileno(), 65536)

    assert (0, True) == (done.returncode, done.stdout.startswith(b"published a as publication 1"))
    assert b"publishing" in shown


def test_progress_in_a_log_is_a_line_every_few_seconds():
    """A log of a long publish shows that it goes on, and stays short."""
    said, seconds = [], iter([0.0, 4.9, 5.0, 5.1, 9.9, 11.0])
    progress = Progress(lines_now_and_then(4000, said.append, lambda: next(seconds)), said.append)

    for _ in progress.counted(range(2000)):
        progress.read(1)

    assert ["1,000 entries, 24 % of the file", "2,000 entries, 50 % of the file"] == said


# -- distributions and publications --------------------------------------------------------------


def test_rollback_shows_an_older_publication_and_forward_again(publish, command):
    """The way back has a way back."""
    publish(entry("one"))
    publish(entry("two"))

    back = command("distribution", "rollback", "a/b", "--no-grace", "--json").document
    gone = command("resolve", "a/b/two").code
    forward = command("distribution", "rollback", "a/b", "--to", "2", "--json").document

    assert (1, 1, 2) == (back["number"], gone, forward["number"])
    assert 0 == command("resolve", "a/b/two").code


def test_replaced_publication_answers_by_grace_and_says_so(publish, command):
    """Clients with old metadata get their files for a while."""
    publish(entry("one"))
    publish(entry("two"))

    document = command("resolve", "a/b/one", "--explain", "--json").document

    assert (1, "a/b/one") == (document["publication_id"], document["path"])
    assert document["grace_until"] is not None
    assert (
        "the path comes from a superseded publication, within its grace"
        in (document["explanation"])
    )


def test_publish_without_grace_ends_the_former_publication_at_once(publish, command):
    """`--no-grace` is for what must not be seen again."""
    publish(entry("one"))
    publish(entry("two"), options=("--no-grace",))

    assert (1, 0) == (command("resolve", "a/b/one").code, command("resolve", "a/b/two").code)


def test_lists_show_what_there_is(publish, command):
    """For a person a table, for a script a list of documents."""
    publish(entry("one"))
    publish(entry("two"), entry("three"))

    distributions = command("distribution", "list", "--json").document
    publications = command("publication", "list", "a/b", "--json").document
    table = command("distribution", "list").out.splitlines()

    assert [("a/b", 2, 2, 2)] == [
        (one["base_path"], one["publication"], one["entries"], one["kept"]) for one in distributions
    ]
    assert [(2, "current"), (1, "superseded")] == [
        (one["number"], one["state"]) for one in publications
    ]
    assert ["a/b", "2"] == table[-1].split()[:2]


def test_publication_is_deleted_by_its_id_unless_it_is_shown(publish, command):
    """What clients see is not taken from under them."""
    publish(entry("one"))
    publish(entry("two"))

    assert (0, 1) == (
        command("publication", "delete", "1").code,
        command("publication", "delete", "2").code,
    )
    assert 1 == command("resolve", "a/b/one").code


def test_distribution_is_deleted_with_its_publications(publish, command):
    """Then its importer is free."""
    publish(entry("one"))

    assert 0 == command("distribution", "delete", "a/b").code
    assert 1 == command("resolve", "a/b/one").code
    assert 0 == command("importer", "delete", "m").code


# -- withdraw ------------------------------------------------------------------------------------


def test_withdrawn_path_is_gone_until_it_is_restored(publish, command):
    """Grace does not bring it back; `--undo` does."""
    publish(entry("one"))
    publish(entry("one"))

    done = command("withdraw", "/a/b/one", "--json").document
    gone = command("resolve", "a/b/one").code
    undone = command("withdraw", "--undo", "a/b/one").code

    assert {"withdrawn": True, "subject": "a/b/one", "entries": 2} == done
    assert (1, 0, 0) == (gone, undone, command("resolve", "a/b/one").code)


def test_withdrawn_content_is_gone_at_every_path_and_for_good(publish, command):
    """A later publication does not bring it back either."""
    digest = hashlib.sha256(SMALL).hexdigest().upper()
    publish(entry("one"), entry("two"), entry("other", CONTENT))

    done = command("withdraw", f"sha256:{digest}", "--json").document
    publish(entry("three"))
    codes = [command("resolve", f"a/b/{name}").code for name in ("one", "three", "other")]

    assert (f"sha256:{digest.lower()}", 2) == (done["subject"], done["entries"])
    assert [1, 1, 0] == codes
    assert 0 == command("withdraw", "--undo", f"sha256:{digest}").code
    assert 0 == command("resolve", "a/b/three").code


# -- resolve -----------------------------------------------------------------------------------


def test_resolve_tells_a_person_what_is_there_and_leaves_out_what_is_not(publish, command):
    """Words and numbers, nothing of the language that it is written in."""
    publish(entry("one", b"", media_type="text/plain", last_modified=0))
    digest = hashlib.sha256(b"").hexdigest()

    assert command("resolve", "a/b/one").out.splitlines() == [
        "path: a/b/one",
        "distribution: a/b",
        "publication id: 1",
        f"sha256: {digest}",
        "size: 0",
        "media type: text/plain",
        "last modified: 1970-01-01T00:00:00Z",
        "cache: package",
        "source: m one (priority 0)",
    ]


def test_resolve_hides_the_query_of_a_url(publish, command):
    """Signed URLs keep their secret there."""
    publish(entry("one", sources=[{"url": "https://cdn.example/one?token=hunter2"}]))

    plain, as_json = command("resolve", "a/b/one"), command("resolve", "a/b/one", "--json")

    assert "source: m https://cdn.example/one?… (priority 0)\n" in plain.out
    assert "hunter2" not in plain.out + as_json.out


# -- catalog -------------------------------------------------------------------------------------


def test_first_command_creates_the_catalog_for_its_owner_only(command, tmp_path):
    """Configs hold passwords."""
    assert 0 == command("distribution", "list").code

    assert 0o600 == (tmp_path / "catalog.db").stat().st_mode & 0o777


def test_upgrade_of_an_absent_or_current_catalog_does_nothing_wrong(command):
    """It can stand in a script that runs before every start."""
    first, second = command("catalog", "upgrade", "--json"), command("catalog", "upgrade", "--json")

    assert ({"upgraded": True, "copy": None}, 0) == (first.document, first.code)
    assert first == second


def test_name_that_would_speak_to_the_terminal_is_shown_harmless(command):
    """Control characters of a catalog are shown, never sent."""
    content = base64.b64encode(SMALL).decode()
    line = json.dumps({"path": "a", "content_base64": content, "media_type": "text/plain"})
    command("publish", "\u202eevil", "--entries", "-", text=line.encode())

    done = command("distribution", "list")

    assert 0 == done.code
    assert "\u202e" not in done.out
    assert r"\u202eevil" in done.out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_that_cannot_be_written_is_a_failure_in_one_line(environ, tmp_path, options):
    """A full disk behind `>` is noticed."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "streamer.cli", "importer", "types", *options],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environ,
            timeout=60,
            check=False,
        )

    assert (1, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert b"No space left on device" in done.stderr


def test_reader_that_goes_away_is_no_traceback(environ, tmp_path):
    """`pulp-streamer … | true` is nobody's bug."""
    read_end, write_end = os.pipe()
    os.close(read_end)

    with os.fdopen(write_end, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "streamer.cli", "importer", "types"],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environ,
            timeout=60,
            check=False,
        )

    assert (1, b"") == (done.returncode, done.stderr)
