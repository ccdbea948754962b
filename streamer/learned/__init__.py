"""The store of pieces: the port `interfaces.Learned` over a SQLite file or a PostgreSQL database.

Strategy. The tables that were learned here are worth keeping and not worth waiting for: all of them
can be learned again. So this store has other rules than the catalog. It creates its own tables, is
put aside and begun anew where it is damaged, forgets what was not used for the longest time, and is
left out wherever it is away, slow or full. What it gives out is trusted, so a row that is not as it
was written is deleted and never used.

Reading order: `tables`, `rows` (what is stored), `changes` (what waits to be), `failures`, `files`,
`servers` (where it lies), `store` (the statements), `trouble`, `threads`, `lookups`, `writing`,
`threaded` (never to be waited for).
"""

from streamer.learned.nothing import NothingLearned
from streamer.learned.store import PieceStore, store_of
from streamer.learned.threaded import ThreadedLearned

__all__ = ["NothingLearned", "PieceStore", "ThreadedLearned", "store_of"]
