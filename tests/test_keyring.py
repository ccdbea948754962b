"""The operator's key file, and what is sealed with it.

Each test has a key file of its own. A secret that is looked for in texts is one that no other text
holds by chance.
"""

from __future__ import annotations

import json
import os
import traceback

import pytest
from cryptography.fernet import Fernet

from streamer.errors import KeyUnusable
from streamer.keyring import MAX_KEY_FILE_BYTES, Keyring, is_private, sealed_keys
from streamer.model import DownloadConfig

SECRET = "hunter2-ünïque"
SECRETS = {"password": SECRET, "secret_fields": {"X-Key": SECRET, "X-Other": [1, None]}}
KEY, OTHER_KEY = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def key_file(tmp_path):
    """Give a function that writes a key file; its path is `key_file.path`."""

    def write(*lines, mode=0o600):
        write.path.unlink(missing_ok=True)
        write.path.write_text("".join(f"{line}\n" for line in lines))
        write.path.chmod(mode)
        return Keyring(write.path)

    write.path = tmp_path / "keys"
    return write


@pytest.fixture
def keyring(key_file):
    return key_file(KEY)


def refusal(function, *arguments):
    with pytest.raises(KeyUnusable) as caught:
        function(*arguments)
    return str(caught.value)


# -- sealing and opening -------------------------------------------------------------------------


def test_secrets_come_back_as_they_were(keyring):
    """Texts and objects alike."""
    assert SECRETS == keyring.unseal(7, keyring.seal(7, SECRETS))


def test_sealed_text_shows_the_names_and_no_value(keyring):
    """The names are known without a key; two seals of one secret are not alike."""
    first, second = keyring.seal(7, SECRETS), keyring.seal(7, SECRETS)

    assert {"password", "secret_fields"} == sealed_keys(first)
    assert not any(text in first for text in ("hunter2", "X-Key", KEY))
    assert json.loads(first)["token"] != json.loads(second)["token"]


@pytest.mark.parametrize("sealed", [None, "", "no JSON", "[]", "{}", '{"keys": 1, "token": ""}'])
def test_text_that_is_not_sealed_names_no_secrets(sealed):
    """What is absent or damaged can be shown all the same."""
    assert frozenset() == sealed_keys(sealed)


def test_secrets_moved_to_another_importer_are_refused(keyring):
    """Else whoever writes to the catalog could send them to an origin of their own."""
    sealed = keyring.seal(7, SECRETS)

    assert "sealed for another importer" in refusal(keyring.unseal, 8, sealed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda stated: stated | {"keys": ["password"]},
        lambda stated: stated | {"keys": []},
        lambda stated: stated | {"token": stated["token"][:-8]},
        lambda stated: stated | {"token": "é"},
        lambda stated: {},
    ],
    ids=["fewer names", "no names", "token cut", "token not ASCII", "empty"],
)
def test_sealed_text_that_was_changed_is_refused(keyring, damage):
    """Names and token belong together."""
    sealed = json.dumps(damage(json.loads(keyring.seal(7, SECRETS))))

    assert "set them anew" in refusal(keyring.unseal, 7, sealed)


def test_wrong_key_is_refused_with_what_to_do(key_file):
    """The sentence names the file and nothing that is secret."""
    sealed = key_file(KEY).seal(7, SECRETS)

    said = refusal(key_file(OTHER_KEY).unseal, 7, sealed)

    assert f"no key of {key_file.path} opens its secrets: put back the key" in said
    assert not any(text in said for text in (SECRET, KEY, OTHER_KEY, sealed))


def test_first_key_seals_and_every_key_opens(key_file):
    """An old seal opens behind a new key, and is known to be old."""
    old = key_file(KEY).seal(7, SECRETS)
    keyring = key_file("# the new one", OTHER_KEY, "", f"{KEY}  # the old one")
    new = keyring.seal(7, SECRETS)

    assert SECRETS == keyring.unseal(7, old) == keyring.unseal(7, new)
    assert (False, True) == (keyring.is_newest(old), keyring.is_newest(new))


def test_key_file_is_read_anew_each_time(key_file):
    """A running service sees a rotation, and a key that was put back."""
    keyring = key_file(KEY)
    sealed = keyring.seal(7, SECRETS)
    key_file.path.unlink()
    missing = refusal(keyring.unseal, 7, sealed)

    key_file(OTHER_KEY, KEY)

    assert "is not there: put it back" in missing
    assert SECRETS == keyring.unseal(7, sealed)


def test_relative_key_file_is_found_from_another_folder(key_file, tmp_path, monkeypatch):
    """Daemons change their folder."""
    key_file(KEY)
    monkeypatch.chdir(tmp_path)
    keyring = Keyring(type(tmp_path)("keys"))

    monkeypatch.chdir("/")

    assert SECRETS == keyring.unseal(7, keyring.seal(7, SECRETS))


# -- key files that are refused ------------------------------------------------------------------


def test_empty_keyring_says_what_to_set_and_what_to_run():
    """Nobody needs a key before there is a secret."""
    for function in (lambda: Keyring().seal(7, SECRETS), lambda: Keyring().unseal(7, "{}")):
        assert "set secrets.key_file, and run `pulp-streamer secrets init`" in refusal(function)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o601, 0o644])
def test_key_file_that_others_may_use_is_refused_with_what_to_do(key_file, mode):
    """Group and others have no part in it."""
    keyring = key_file(KEY, mode=mode)

    assert f"run `chmod 600 {key_file.path}`" in refusal(keyring.seal, 7, SECRETS)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_key_file_of_its_owner_alone_is_taken(key_file, mode):
    """It need not be writable."""
    assert key_file(KEY, mode=mode).seal(7, SECRETS)


@pytest.mark.parametrize(
    ("mode", "owner_id", "expected"),
    [
        (0o600, 1000, True),
        (0o640, 1000, False),
        (0o604, 1000, False),
        (0o640, 0, True),
        (0o440, 0, True),
        (0o660, 0, False),
        (0o644, 0, False),
        (0o650, 0, False),
    ],
)
def test_file_is_private_by_its_mode_and_owner(mode, owner_id, expected):
    """What root owns its group may read, as mounted secrets are."""
    assert expected == is_private(0o100000 | mode, owner_id)


def test_key_file_that_is_no_file_is_refused_without_waiting(key_file):
    """A pipe that nobody writes to, a folder, a device."""
    os.mkfifo(key_file.path, 0o600)
    said = [refusal(Keyring(key_file.path).seal, 7, SECRETS)]
    key_file.path.unlink()
    key_file.path.mkdir(0o700)
    said.append(refusal(Keyring(key_file.path).seal, 7, SECRETS))
    said.append(refusal(Keyring(type(key_file.path)("/dev/zero")).seal, 7, SECRETS))

    assert [True] * 3 == ["is not a regular file" in one for one in said]


def test_key_file_behind_a_link_is_taken(key_file, tmp_path):
    """Orchestrators hand over files so."""
    key_file(KEY)
    (tmp_path / "link").symlink_to(key_file.path)

    assert Keyring(tmp_path / "link").seal(7, SECRETS)


def test_key_file_of_absurd_size_is_refused(key_file):
    """A disk image that was named by mistake is not loaded."""
    keyring = key_file("#" * MAX_KEY_FILE_BYTES)

    assert f"larger than {MAX_KEY_FILE_BYTES} bytes" in refusal(keyring.seal, 7, SECRETS)


@pytest.mark.parametrize("lines", [[], ["# no key yet", ""]])
def test_key_file_without_a_key_is_refused(key_file, lines):
    """It protects nothing."""
    assert "holds no key" in refusal(key_file(*lines).check_keys)


@pytest.mark.parametrize(
    "line",
    [KEY[:-2], f"{KEY} {KEY}", "hunter2", f"!{KEY}", "é" * 43 + "="],
    ids=["short", "two", "words", "marked", "beyond-ascii"],
)
def test_line_that_is_no_key_is_named_by_its_place_alone(key_file, line):
    """Half a key is a secret too."""
    said = refusal(key_file(KEY, line).check_keys)

    assert said.endswith("key 2 is no Fernet key")
    assert line not in said


# -- what is said of it --------------------------------------------------------------------------


def test_keyring_shows_nothing_of_itself(keyring):
    """Neither path nor key, whoever prints it."""
    assert ("<Keyring>", "<Keyring>") == (repr(keyring), f"{keyring}")


def test_traceback_of_a_refusal_holds_no_secret(keyring):
    """What the library raised is not dragged along."""
    sealed = keyring.seal(7, SECRETS)
    try:
        keyring.unseal(8, sealed)
    except KeyUnusable as error:
        told = "".join(traceback.format_exception(error))

    assert "sealed for another importer" in told
    assert not any(text in told for text in (SECRET, KEY, sealed))


# -- at the start --------------------------------------------------------------------------------


def importer(id_, sealed=None):
    return DownloadConfig(id_, 1, f"importer-{id_}", "http", {}, sealed)


def test_check_needs_no_key_where_nothing_is_sealed(key_file):
    """Neither none nor a bad one stops a service without secrets."""
    for keyring in (Keyring(), Keyring(key_file.path), key_file("nonsense", mode=0o644)):
        assert keyring.check([importer(1), importer(2)]) is None


def test_check_names_the_importer_whose_secrets_cannot_be_opened(key_file):
    """One line says which and what to do."""
    sealed = [importer(id_, key_file(KEY).seal(id_, SECRETS)) for id_ in (1, 2)]
    moved = importer(3, sealed[0].sealed)

    assert key_file(KEY).check(sealed) is None
    assert refusal(key_file(KEY).check, [*sealed, moved]).startswith("importer 'importer-3': ")
    assert refusal(key_file(OTHER_KEY).check, sealed).startswith("importer 'importer-1': no key")
    assert "set secrets.key_file" in refusal(Keyring().check, sealed)
