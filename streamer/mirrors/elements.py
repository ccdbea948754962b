"""XML of a stranger as a small tree: expat, with everything off that a list of mirrors needs not.

Separate from what metalinks mean. Refuses document types before the parser sees them, and with
them all entities, external ones included, default attributes and whatever they expand to. The
text is parsed as the UTF-8 that it was decoded to, so that no declaration in it picks another
decoder. Namespaces are not left to expat, which copies a namespace's whole name for each element
and attribute of it: those that the root declares are looked up here, and no others.

It is fed in slices, since an error that is raised within one ends the parsing only with that
slice. Tags of any length would be read over again with each, so they are bounded first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from streamer.mirrors.records import ListUnusable

PREFIXES = {"http://fedorahosted.org/mirrormanager": "mm0:"}
"""Under which prefix names of other namespaces than the root's are found."""

MAX_DEPTH = 16
"""A metalink of version 3 needs 8."""

MAX_TAGS = 150_000
"""Start and end of a piece for each 256 KiB of 19 GB; comments count, too."""

MAX_ATTRIBUTES = 32
MAX_TEXT_CHARACTERS = 8 * 1024
"""Of an element without children; more of it is not kept, so that it is too long for any use."""

MAX_TOKEN_CHARACTERS = 64 * 1024
"""From one `<` to the next: a tag with its attributes, and what stands behind it."""

_SLICE_BYTES = 64 * 1024


@dataclass(slots=True)
class Element:
    """An element: its text, if it has no children, and its attributes by their names as written.

    Its name has no prefix where it is of the root's namespace, that of `PREFIXES` where it is of
    one of those, and one that nobody asks for where it is of any other.
    """

    name: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def child(self, name: str) -> Element:
        """The first child of that name, or an element without anything."""
        return next(iter(self.all(name)), _NOTHING)

    def all(self, name: str) -> list[Element]:
        """Its children of that name."""
        return [child for child in self.children if child.name == name]


_NOTHING = Element()


@dataclass(slots=True)
class Document:
    """A root, and the namespace that it is of."""

    root: Element
    namespace: str


class _Builder:
    """Takes the events of one parser."""

    def __init__(self) -> None:
        self.document: Document | None = None
        self._open: list[Element] = []
        self._text: list[str] = []
        self._characters = 0
        self._prefixes: dict[str, str] = {}

    def started(self, written: str, attributes: dict[str, str]) -> None:
        if len(self._open) == MAX_DEPTH:
            raise ListUnusable(f"the list is nested more than {MAX_DEPTH} deep")
        if len(attributes) > MAX_ATTRIBUTES:
            raise ListUnusable(f"the list has an element of more than {MAX_ATTRIBUTES} attributes")
        if self.document is None:
            element = self._take_root(written, attributes)
        else:
            element = Element(self._name(written), attributes)
            self._open[-1].children.append(element)
        self._open.append(element)
        self._forget_text()

    def _take_root(self, written: str, attributes: dict[str, str]) -> Element:
        own_prefix = _prefix(written)
        declared = {
            name.removeprefix("xmlns").removeprefix(":"): uri
            for name, uri in attributes.items()
            if name == "xmlns" or name.startswith("xmlns:")
        }
        namespace = declared.get(own_prefix, "")
        for prefix, uri in declared.items():
            # No name can begin with a colon, so those of other namespaces are never found.
            known = PREFIXES.get(uri, f":{prefix}:")
            self._prefixes[prefix] = "" if uri == namespace else known
        element = Element(self._name(written), attributes)
        self.document = Document(element, namespace)
        return element

    def _name(self, written: str) -> str:
        prefix = _prefix(written)
        known = self._prefixes.get(prefix)
        return written if known is None else known + written[len(prefix) :].removeprefix(":")

    def text_came(self, text: str) -> None:
        if self._characters <= MAX_TEXT_CHARACTERS:
            self._text.append(text)
            self._characters += len(text)

    def ended(self, _written: str) -> None:
        element = self._open.pop()
        if not element.children:
            element.text = "".join(self._text)
        self._forget_text()

    def _forget_text(self) -> None:
        self._text = []
        self._characters = 0


def _prefix(written: str) -> str:
    return written.partition(":")[0] if ":" in written else ""


def _refuse_excess(text: str) -> None:
    if "<!DOCTYPE" in text:
        raise ListUnusable("the list has a document type, which is not read")
    if text.count("<") > MAX_TAGS:
        raise ListUnusable(f"the list has more than {MAX_TAGS:,} tags")
    if max(map(len, text.split("<"))) > MAX_TOKEN_CHARACTERS:
        raise ListUnusable(
            f"the list has a tag or text of over {MAX_TOKEN_CHARACTERS:,} characters"
        )


def parse_document(text: str) -> Document:
    """Parse XML; raises `ListUnusable` if it is malformed, beyond a bound, or has a DOCTYPE."""
    _refuse_excess(text)
    builder = _Builder()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = builder.started
    parser.EndElementHandler = builder.ended
    parser.CharacterDataHandler = builder.text_came
    content = text.encode()
    try:
        for start in range(0, len(content), _SLICE_BYTES):
            parser.Parse(content[start : start + _SLICE_BYTES], False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ListUnusable(f"the list is malformed XML at line {error.lineno}") from error
    if builder.document is None:
        raise ListUnusable("the list is malformed XML")
    return builder.document
