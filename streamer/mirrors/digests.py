"""Digests as lists and fields write them: hexadecimal, base64, names with hyphens and without.

Separate from `publishing`, which refuses an entry for a digest it does not know: here a claim that
cannot be read is no claim, and two that contradict each other are none either.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

from streamer.model import Digest, Fields, strongest_first

_HEX_LENGTHS = {"sha256": 64, "sha512": 128, "sha384": 96, "sha224": 56, "sha1": 40, "md5": 32}
_HEX = re.compile(r"[0-9a-f]+")
_MEMBER = re.compile(r"[ \t]*([A-Za-z0-9-]{1,16})=([^,;]{1,200})[^,]*")


def algorithm_of(written: str) -> str | None:
    """Give `hashlib`'s name for `sha-256`, `SHA256` and the like; None for what is not known."""
    name = written.strip().lower().replace("-", "")
    name = "sha1" if name == "sha" else name
    return name if name in _HEX_LENGTHS else None


def read_hex(algorithm: str, written: str) -> str | None:
    """Give a value of `algorithm` in lower case, or None if it is not one."""
    value = written.strip().lower()
    fits = len(value) == _HEX_LENGTHS[algorithm] and _HEX.fullmatch(value)
    return value if fits else None


def agreed(digests: Iterable[Digest]) -> tuple[Digest, ...]:
    """Leave out algorithms for which there are two values; the strongest comes first."""
    found: dict[str, set[Digest]] = {}
    for digest in digests:
        found.setdefault(digest.algorithm, set()).add(digest)
    return strongest_first(values.pop() for values in found.values() if len(values) == 1)


def field_digests(fields: Fields) -> tuple[Digest, ...]:
    """Read Digest (RFC 3230) and Repr-Digest (RFC 9530) of a response: claims about the whole."""
    values = [value for name, value in fields if name.lower() in ("digest", "repr-digest")]
    members = (_MEMBER.match(member) for value in values for member in value.split(","))
    return agreed(
        digest for member in members if member and (digest := _in_base64(*member.groups()))
    )


def _in_base64(name: str, written: str) -> Digest | None:
    algorithm = algorithm_of(name)
    if algorithm is None:
        return None
    try:
        # RFC 9530 puts it between colons, as every byte sequence (RFC 9651 section 3.3.5).
        value = base64.b64decode(written.strip(" \t:"), validate=True).hex()
    except (binascii.Error, ValueError):
        return None
    return Digest(algorithm, value) if len(value) == _HEX_LENGTHS[algorithm] else None
