"""Whatever an origin says of mirrors, what is kept of it can be asked, and is somebody else."""

from __future__ import annotations

from hypothesis import strategies as st
from proof import holds_for
from test_property_mirrors import FIELDS

from streamer.downloaders.credentials import origin_of
from streamer.downloaders.learned import MAX_MIRRORS, LearnedMirrors
from streamer.model import OriginResponse

URLS = st.sampled_from(["http://one.example/a.iso", "https://a.example/f", "http://b.example/f"])


@holds_for(url=URLS, fields=FIELDS)
def test_learned_mirrors_are_other_origins_that_can_be_asked(url, fields):
    """Each is one of HTTP and there once; none is plain where the source is not."""
    memory = LearnedMirrors(lambda: 0.0)

    memory.hear(url, OriginResponse(None, fields))

    origins = [origin_of(each) for each in memory.of(url)]
    assert len({*origins, origin_of(url)}) == len(origins) + 1 <= MAX_MIRRORS + 1
    if url.startswith("https:"):
        assert {origin.scheme for origin in origins} <= {"https"}
