"""What an operator may set, where it is looked for, and what is allowed.

The file and the environment write `section.key` with a unit in the value (`12s`, `64KiB`); the
attributes here carry the unit in their name and a plain number. Separate from what is set up by
it, so that a wrong setting is found before anything else happens, in one line.

Refuses every key it does not know, in the file and in the environment: a misspelt setting that
is silently ignored is found at the worst time. No message repeats a value, which may be secret.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic.fields import FieldInfo

from streamer.errors import SettingInvalid
from streamer.ranges import Unlearned

SYSTEM_FILE = Path("/etc/pulp-streamer/streamer.toml")
CONFIG_VARIABLE = "PULP_STREAMER_CONFIG"
OVERRIDE_PREFIX = "PULP_STREAMER__"

_SIZE_UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_TIME_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_TOO_MUCH = 10**18
"""Of seconds or bytes: nobody means it, and arithmetic ends somewhere beyond."""
_PREFIX_SEGMENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # RFC 3986 pchar

TIME_TEXT = "a time such as 500ms, 12s, 5m or 1h, or a number of seconds, greater than zero"
_ENDPOINT = "a Twisted endpoint such as tcp:8751:interface=127.0.0.1"


@dataclass(frozen=True, slots=True)
class CatalogUrl:
    """Where the catalog lies. Shown without what may be a password; `reveal` gives all of it."""

    _text: str

    def reveal(self) -> str:
        return self._text

    @property
    def file(self) -> Path | None:
        """Where SQLite keeps it, all links followed; None of a server's."""
        if not self._text.startswith("sqlite:///"):
            return None
        return Path(self._text.removeprefix("sqlite:///").partition("?")[0]).resolve()

    def __str__(self) -> str:
        parts = urlsplit(self._text)
        user_info, at, place = parts.netloc.rpartition("@")
        user = user_info.partition(":")[0]
        return f"{parts.scheme}://{user}{at}{place}{parts.path}" + ("?…" if parts.query else "")

    def __repr__(self) -> str:
        return f"CatalogUrl({str(self)!r})"


def _catalog_url(value: object) -> CatalogUrl:
    if isinstance(value, CatalogUrl):
        return value
    if not isinstance(value, str) or not value.startswith(("sqlite:///", "postgresql://")):
        raise ValueError
    if urlsplit(value).path in ("", "/", "/:memory:"):
        raise ValueError
    return CatalogUrl(value)


def _store_url(value: object) -> CatalogUrl | None:
    return None if value is None or value == "" else _catalog_url(value)


def _amount(value: object, units: Mapping[str, float]) -> float:
    """Read a number with one of `units`, or without where `""` is one of them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < _TOO_MUCH:
            raise ValueError
        return value
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,9})?) ?([A-Za-z]*)", str(value), re.ASCII)
    if match is None or match[2] not in units:
        raise ValueError
    return float(match[1]) * units[match[2]]


def _size(value: object) -> int:
    amount = _amount(value, _SIZE_UNITS)
    if amount != int(amount):
        raise ValueError
    return int(amount)


def read_seconds(value: object) -> float:
    """Read a time as settings write it; raises `ValueError` without a message."""
    amount = _amount(value, _TIME_UNITS)
    if not (math.isfinite(amount) and amount > 0):
        raise ValueError
    return float(amount)


def _seconds_or_never(value: object) -> float:
    return 0.0 if _amount(value, _TIME_UNITS) == 0 else read_seconds(value)


def _count(value: object) -> object:
    """Keep `true` from being the number one."""
    if isinstance(value, bool | float):
        raise ValueError
    return value


def _prefix(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    path = value.removeprefix("/").removesuffix("/")
    segments = path.split("/") if path else []
    if not all(_PREFIX_SEGMENT.fullmatch(segment) for segment in segments):
        raise ValueError
    return "".join("/" + segment for segment in segments)


def _endpoint(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9]+:[\x21-\x7e]+", value):
        raise ValueError
    return value


def _list(value: object) -> list[object]:
    """Read a list; in the environment it is written as JSON or with commas."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
    if not isinstance(value, list | tuple):
        raise ValueError
    return [item.strip() if isinstance(item, str) else item for item in value]


def _endpoints(value: object) -> tuple[str, ...]:
    endpoints = tuple(_endpoint(item) for item in _list(value))
    if not endpoints:
        raise ValueError
    return endpoints


def _folders(value: object) -> tuple[str, ...]:
    return () if value == "" else tuple(_folder(item) for item in _list(value))


def _folder(value: object) -> str:
    """Give an absolute path in its one form; `/` is none, as it would allow everything."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError
    names = [name for name in value.split("/") if name]
    if not names or "." in names or ".." in names:
        raise ValueError
    return "/" + "/".join(names)


def _file(value: object) -> Path | None:
    """Read the path of a file; as there is no empty one, `""` stands for none."""
    if value is None or isinstance(value, Path):
        return value
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return Path(value) if value else None


Size = Annotated[int, BeforeValidator(_size)]
Seconds = Annotated[float, BeforeValidator(read_seconds)]
SecondsOrNever = Annotated[float, BeforeValidator(_seconds_or_never)]
Count = Annotated[int, BeforeValidator(_count)]
Endpoint = Annotated[str, BeforeValidator(_endpoint)]
Folders = Annotated[tuple[str, ...], BeforeValidator(_folders)]
Endpoints = Annotated[tuple[str, ...], BeforeValidator(_endpoints)]


class _Section(BaseModel):
    """A field's `alias` is its key in the file, its `description` says what is allowed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True
    )


class CatalogSettings(_Section):
    """Where the catalog lies, and how long superseded publications go on answering."""

    url: Annotated[CatalogUrl, PlainValidator(_catalog_url)] = Field(
        default=CatalogUrl("sqlite:///var/catalog.db"),
        description="sqlite:///PATH or postgresql://USER@HOST/DATABASE",
    )
    grace_seconds: Seconds = Field(default=3600.0, alias="grace", description=TIME_TEXT)
    keep: Count = Field(default=3, ge=1, description="a whole number from 1")


class ContentSettings(_Section):
    """Where clients find content, and what one of them may hold on to."""

    listen: Endpoints = Field(
        default=("tcp:8751:interface=127.0.0.1",),
        description=f"a list of at least one endpoint, each {_ENDPOINT}",
    )
    prefix: Annotated[str, BeforeValidator(_prefix)] = Field(
        default="",
        description="a path such as /pulp/content, in ASCII, without empty or dot segments",
    )
    listings: bool = Field(default=True, description="true or false")
    max_connections: Count = Field(default=4096, ge=1, description="a whole number from 1")
    head_timeout_seconds: Seconds = Field(default=15.0, alias="head_timeout", description=TIME_TEXT)
    keep_alive_seconds: Seconds = Field(default=60.0, alias="keep_alive", description=TIME_TEXT)


class AdminSettings(_Section):
    """Where operators find health and metrics, apart from the namespace of clients."""

    listen: Endpoint = Field(default="tcp:8752:interface=127.0.0.1", description=_ENDPOINT)


class DeliverySettings(_Section):
    """The pace of one transfer: what is held back, and how long each side may be silent."""

    # Small content is held whole in memory by every exchange, hence the upper bound.
    small_bytes: Size = Field(
        default=64 * 1024,
        alias="small",
        ge=1,
        le=16 * 1024**2,
        description="a size such as 64KiB, or a number of bytes, from 1 to 16MiB",
    )
    first_byte_seconds: Seconds = Field(default=12.0, alias="first_byte", description=TIME_TEXT)
    idle_seconds: Seconds = Field(default=30.0, alias="idle", description=TIME_TEXT)
    slow_bytes: Size = Field(
        default=64 * 1024,
        alias="slow",
        ge=0,
        description="a size such as 64KiB, or a number of bytes, for each second; 0 means never",
    )
    client_stall_seconds: Seconds = Field(default=60.0, alias="client_stall", description=TIME_TEXT)
    skip_up_to_bytes: Size = Field(
        default=8 * 1024**2,
        alias="skip_up_to",
        ge=0,
        description="a size such as 8MiB, or a number of bytes; 0 means never",
    )
    drain_seconds: Seconds = Field(default=60.0, alias="drain", description=TIME_TEXT)
    distrust_seconds: Seconds = Field(default=600.0, alias="distrust", description=TIME_TEXT)


class RangeSettings(_Section):
    """How ranges are answered of artifacts that no table of pieces can verify."""

    unlearned: Unlearned = Field(default="auto", description="auto, verify, pass or refuse")
    verify_up_to_bytes: Size = Field(
        default=64 * 1024**2,
        alias="verify_up_to",
        description="a size such as 64MiB, or a number of bytes",
    )


class PiecesSettings(_Section):
    """What is learned of content that passes, and where it is kept."""

    enabled: bool = Field(default=True, description="true or false")
    url: Annotated[CatalogUrl | None, PlainValidator(_store_url)] = Field(
        default=None,
        description='sqlite:///PATH, postgresql://USER@HOST/DATABASE or "" for beside the catalog',
    )
    max_bytes: Size = Field(
        default=512 * 1024**2,
        alias="max_size",
        ge=1024**2,
        description="a size such as 512MiB, or a number of bytes, from 1MiB",
    )
    also_digest: bool = Field(default=False, description="true or false")


class OriginSettings(_Section):
    """What is remembered of origins that fail, and for how long they are left alone."""

    breaker_failures: Count = Field(
        default=5, ge=0, description="a whole number; 0 means that no origin is left alone"
    )
    breaker_pause_seconds: Seconds = Field(
        default=5.0, alias="breaker_pause", description=TIME_TEXT
    )
    quarantine_seconds: Seconds = Field(default=300.0, alias="quarantine", description=TIME_TEXT)
    remember_missing_seconds: SecondsOrNever = Field(
        default=10.0,
        alias="remember_missing",
        description="a time such as 500ms, 10s or 5m; 0 means never",
    )


class ImporterSettings(_Section):
    """What importers may do on this machine, whatever their configs say."""

    file_roots: Folders = Field(
        default=(),
        description="a list of absolute paths of folders, without dot segments, and not / itself",
    )


class SecretsSettings(_Section):
    """Where the operator's keys lie, which seal the secrets of importers."""

    key_file: Annotated[Path | None, PlainValidator(_file)] = Field(
        default=None, description='the path of a file, or "" for none'
    )


class LogSettings(_Section):
    """How the log is written."""

    format: Literal["text", "json"] = Field(default="text", description="text or json")


class Settings(_Section):
    """Everything that may be set, checked; the one object that is handed to those who need it."""

    catalog: CatalogSettings = CatalogSettings()
    content: ContentSettings = ContentSettings()
    admin: AdminSettings = AdminSettings()
    delivery: DeliverySettings = DeliverySettings()
    range: RangeSettings = RangeSettings()
    pieces: PiecesSettings = PiecesSettings()
    origins: OriginSettings = OriginSettings()
    importers: ImporterSettings = ImporterSettings()
    secrets: SecretsSettings = SecretsSettings()
    log: LogSettings = LogSettings()


def _keys() -> dict[str, FieldInfo]:
    """Map each `section.key` to its field."""
    sections = ((name, field.annotation) for name, field in Settings.model_fields.items())
    return {
        f"{section}.{field.alias or name}": field
        for section, model in sections
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, field in model.model_fields.items()
    }


KEYS: Mapping[str, FieldInfo] = _keys()
"""Every setting by its name in the file; `description` says what is allowed."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A value somebody set, and how to name the place where they did."""

    value: object
    place: str


def load_settings(
    config_file: Path | None, environ: Mapping[str, str], system_file: Path = SYSTEM_FILE
) -> Settings:
    """Read the file that counts, lay the environment over it, and check the result.

    The file is `config_file`, else the one that `PULP_STREAMER_CONFIG` names, else `system_file`
    if it exists. Raises `SettingInvalid` for the first thing that is unknown or not allowed.
    """
    path = config_file
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    if path is None and system_file.exists():
        path = system_file
    given = _from_file(path) if path is not None else {}
    return _checked(given | _from_environment(environ))


def _from_file(path: Path) -> dict[str, _Given]:
    given = {}
    for section, content in _read_toml(path).items():
        if section not in Settings.model_fields:
            raise _unknown(section, f"section [{section}] in {path}", Settings.model_fields)
        if not isinstance(content, dict):
            raise SettingInvalid(f"{section} in {path}", f"must be a section, [{section}]")
        for key, value in content.items():
            name = f"{section}.{key}"
            if name not in KEYS:
                raise _unknown(name, f"{name} in {path}", KEYS)
            given[name] = _Given(value, f"{name} in {path}")
    return given


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingInvalid(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingInvalid(str(path), "must be UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at .*\)", str(error))
        raise SettingInvalid(
            str(path), f"is not TOML {where[0] if where else ''}".rstrip()
        ) from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    names = {OVERRIDE_PREFIX + key.upper().replace(".", "__"): key for key in KEYS}
    given = {}
    for variable in sorted(environ):
        if not variable.startswith(OVERRIDE_PREFIX):
            continue
        if variable not in names:
            raise _unknown(variable, f"{variable} in the environment", names)
        place = f"{variable} in the environment"
        given[names[variable]] = _Given(environ[variable], place)
    return given


def _unknown(name: str, place: str, known: Iterable[str]) -> SettingInvalid:
    choices = sorted(known)
    # Half of a variable is its prefix, so only a good match is worth a suggestion.
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.75)
    if close:
        return SettingInvalid(place, f"no such setting; did you mean {close[0]}?")
    return SettingInvalid(place, f"no such setting; there are {', '.join(choices)}")


def _checked(given: Mapping[str, _Given]) -> Settings:
    nested: dict[str, dict[str, object]] = {}
    for name, entry in given.items():
        section, _, key = name.partition(".")
        nested.setdefault(section, {})[key] = entry.value
    try:
        settings = Settings.model_validate(nested, by_alias=True, by_name=False)
    except ValidationError as error:
        # Only the place is taken from pydantic: its sentences can hold the value.
        where = error.errors(include_input=False, include_url=False)[0]["loc"]
        name = f"{where[0]}.{where[1]}"
        raise SettingInvalid(given[name].place, f"must be {KEYS[name].description}") from None
    store = settings.pieces.url
    if store and store.file and store.file == settings.catalog.url.file:
        raise SettingInvalid(
            given["pieces.url"].place, 'must not be the catalog\'s own file; "" is beside it'
        )
    return settings
