"""For tests of this project and of plugins: fakes of the ports, and checks of their contracts.

`fakes` stand in for what the code under test asks; `checks` ask whether an importer keeps the
promises of `interfaces`, and `type_checks` whether its type does. Nothing here needs pytest.
"""

from streamer.testing.fakes import (
    MemoryCatalog,
    MemoryDownload,
    MemoryDownloader,
    MemoryImporter,
    MemoryImporters,
    MemoryLearned,
    MemoryRelayer,
    RelayingMemoryImporter,
)

__all__ = [
    "MemoryCatalog",
    "MemoryDownload",
    "MemoryDownloader",
    "MemoryImporter",
    "MemoryImporters",
    "MemoryLearned",
    "MemoryRelayer",
    "RelayingMemoryImporter",
]
