"""What came of a request, as curl judges it and nobody who knows the service.

Two outcomes must never be: content that is complete and wrong, and a client that waits for ever.
"""

from __future__ import annotations

from processes import run, sha256

RIGHT = "right file"
BREAK = "visible break"
WRONG = "COMPLETE AND WRONG"
WAITS = "waits for ever"

_BREAKS = {18, 56}
"""curl's exit codes for content that ended early, by a close or by a reset."""
_TIMED_OUT = 28


def honest(status):
    """The outcome of a request that was answered with this error."""
    return f"honest status {status}"


def outcome_of(url, content, *options, seconds=60):
    """Fetch a URL with curl and say in a few words what came of it."""
    done = run(
        *("curl", "-sS", "--max-time", seconds, "-w", "%{stderr}\n%{http_code}", *options, url),
        timeout=seconds + 10,
    )
    status = int(done.stderr.split()[-1])
    if done.returncode == _TIMED_OUT:
        return WAITS
    if done.returncode in _BREAKS and status == 200:
        return BREAK
    if done.returncode:
        return f"curl's exit code {done.returncode} after status {status}"
    if status != 200:
        return honest(status)
    return RIGHT if sha256(done.stdout) == sha256(content) else WRONG
