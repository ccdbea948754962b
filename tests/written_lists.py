"""Lists of the mirrors that a test has, written as distributions write them, and who sends them."""

from __future__ import annotations

import hashlib
from xml.sax.saxutils import escape

from origins import Origin, serves

MIRRORLIST = "text/plain; charset=utf-8"
METALINK = "application/metalink+xml"

_METALINK = """\
<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" \
pubdate="Sun, 22 Nov 2026 10:00:00 GMT" generator="mirrormanager" \
xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="repomd.xml">
   <mm0:timestamp>{timestamp}</mm0:timestamp>
{version}
   <mm0:alternates>
{alternates}   </mm0:alternates>
   <resources maxconnections="1">
{urls}   </resources>
  </file>
 </files>
</metalink>
"""
_ALTERNATE = """\
    <mm0:alternate>
     <mm0:timestamp>{timestamp}</mm0:timestamp>
{version}
    </mm0:alternate>
"""
_URL = """\
    <url protocol="{scheme}" type="{scheme}" location="{location}" preference="{preference}" >\
{url}</url>
"""
_HASHES = ("md5", "sha1", "sha256", "sha512")
_TIMESTAMP = 1_779_326_542
_LOCATIONS = ("DE", "CZ", "GB", "US")


def mirrorlist(bases):
    """A plain list, as CentOS and its kin send them."""
    return "".join(f"{base}\n" for base in bases).encode()


def metalink(bases, repomd, older=()):
    """A metalink of version 3 about a repository, as Fedora's MirrorManager sends them.

    The first mirror is preferred, and may also be asked by rsync. `older` is what the file held
    before, the newest first.
    """
    urls = [_url(base, 100 - place, place) for place, base in enumerate(bases)]
    by_rsync = bases[0].replace("http://", "rsync://")
    alternates = [
        _ALTERNATE.format(timestamp=_TIMESTAMP - 86_400 * (age + 1), version=_version(content))
        for age, content in enumerate(older)
    ]
    return _METALINK.format(
        timestamp=_TIMESTAMP,
        version=_version(repomd),
        alternates="".join(alternates),
        urls="".join([_url(by_rsync, 100, 0), *urls]),
    ).encode()


def _url(base, preference, place):
    return _URL.format(
        scheme=base.partition(":")[0],
        location=_LOCATIONS[place % len(_LOCATIONS)],
        preference=preference,
        url=escape(f"{base}repodata/repomd.xml"),
    )


def _version(content):
    hashes = "".join(
        f'\n    <hash type="{name}">{hashlib.new(name, content).hexdigest()}</hash>'
        for name in _HASHES
    )
    size = f"   <size>{len(content)}</size>"
    return f"{size}\n   <verification>{hashes}\n   </verification>"


class ListService(Origin):
    """Who sends one list, whatever the query; `send` replaces it."""

    def __init__(self, content, media_type=MIRRORLIST):
        super().__init__(None)
        self._media_type = media_type
        self.send(content)

    def send(self, content, media_type=None):
        """Answer with this from now on."""
        field = f"Content-Type: {media_type or self._media_type}"
        self.behaviour = serves(content, (field,))
