"""A property, and the two ways in which it is tried.

The suite tries each property on the same examples every time, so that what fails once fails
always: `holds_for` turns a check into such a test. `scripts/fuzz.py` goes on with examples that
nobody has tried before, by the test's `search`, and names the seed that gives them again.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps

from hypothesis import HealthCheck, given, seed, settings
from twisted.logger import globalLogPublisher

_COMMON = settings(
    database=None,
    deadline=None,
    suppress_health_check=[
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
        HealthCheck.too_slow,
    ],
)


def holds_for(*, examples=200, share=1, **strategies):
    """Turn a check of one example into a test of many; what it takes is named like a fixture.

    `share` says how much of the time of a search it is worth, compared with the others.
    """

    def decorate(check):
        test = settings(_COMMON, derandomize=True, max_examples=examples)(
            given(**strategies)(check)
        )
        test.search = _search(check, strategies)
        test.share = share
        return test

    return decorate


def _search(check, strategies):
    def search(number, examples):
        """Try the examples of one seed; give how many there were, or raise what the check does."""
        tried = 0

        @wraps(check)
        def counted(**example):
            nonlocal tried
            tried += 1
            check(**example)

        fresh = settings(_COMMON, derandomize=False, max_examples=examples, print_blob=False)
        seed(number)(fresh(given(**strategies)(counted)))()
        return tried

    return search


@contextmanager
def nothing_logged():
    """Fail if a failure reaches the log: for a client it may be a mere broken connection."""
    failures = []

    def observe(event):
        if event.get("log_failure") is not None:
            failures.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)
    assert failures == []
