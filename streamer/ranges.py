"""What a Range field asks for.

So far one question is asked of it. A Range is answered with 200 and the whole artifact, which
RFC 9110 section 14.2 always allows; but some clients skip the beginning of such a 200 and append
the rest to what they hold. `resumes` recognises them.
"""

from __future__ import annotations

import re

_FROM_THE_FIRST_BYTE = re.compile(r"bytes=0+-[0-9]*", re.IGNORECASE)


def resumes(value: str | None) -> bool:
    """Whether the sender of this Range may hold earlier bytes of the content already.

    Everything counts that is not a single range from the first byte: a later beginning, a suffix,
    several ranges, and what cannot be read. The answer "no" has to be certain.
    """
    return value is not None and not _FROM_THE_FIRST_BYTE.fullmatch(value.strip())
