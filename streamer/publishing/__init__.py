"""Formats in which a publication is stated: JSON lines of entries, and manifests.

Both readers take lines and give checked `streamer.model.Entry` records, one at a time, so that
ten million lines need no more memory than one. They know nothing of a catalog or a network. What
only all lines together can show, such as the same path twice, is the catalog's to find.

A wrong line is reported and the reading goes on, so that one run names several of them; whoever
reads decides when it is enough, and publishes nothing.
"""

from __future__ import annotations

from streamer.publishing.entries import parse_entries
from streamer.publishing.lines import bounded_lines
from streamer.publishing.manifest import parse_manifest, publish_manifest

__all__ = ["bounded_lines", "parse_entries", "parse_manifest", "publish_manifest"]
