"""Look for examples that break a property of `tests/properties`, for a bounded time.

    python scripts/fuzz.py [--seconds N] [--seed N] [--examples N] [PROPERTY]...

The suite tries the same examples every time; here each round has new ones, made from a seed that
is shown. The property that has had the least of its share of the time is next. A finding is
reduced to its smallest example, shown with the command that gives it again, and ends the turn of
that property; the exit code is 1 if there was any.

Hypothesis makes the examples: it is what the tests use already, and needs neither a compiler nor
an interpreter built for the purpose. What it does not do is to follow the coverage of the code.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"

HANG_SECONDS = 600
"""A round takes some seconds, and reducing a finding some minutes; more is a finding by itself."""


@dataclass
class Hunt:
    """One property and what was tried of it."""

    name: str
    search: Callable[[int, int], int]
    share: int
    seconds: float = 0.0
    examples: int = 0
    seeds: list[int] = field(default_factory=list)
    finding: str | None = None

    def round(self, seed: int, examples: int) -> None:
        """Try the examples of one seed."""
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        started = time.monotonic()
        self.seeds.append(seed)
        try:
            self.examples += self.search(seed, examples)
        except BaseException as error:
            # Also what is no Exception: a property may fail with a group of its failures.
            if isinstance(error, KeyboardInterrupt):
                raise
            self.finding = "".join(traceback.format_exception(error))
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.seconds += time.monotonic() - started

    def __str__(self) -> str:
        outcome = "FOUND SOMETHING" if self.finding else "held"
        tried = f"{self.examples:8,} examples {self.seconds:6.1f} s"
        return f"{tried}  seeds {self.seeds[0]}..{self.seeds[-1]}  {outcome:4}  {self.name}"


def hunts() -> Iterator[Hunt]:
    """Every property of the folder, by the name of its test."""
    sys.path[:0] = [str(TESTS), str(TESTS / "properties")]
    for path in sorted((TESTS / "properties").glob("test_property_*.py")):
        for name, test in vars(importlib.import_module(path.stem)).items():
            if name.startswith("test_") and hasattr(test, "search"):
                yield Hunt(name.removeprefix("test_"), test.search, test.share)


def run(chosen: list[Hunt], seconds: float, first_seed: int, examples: int) -> None:
    """Take turns until the time is over; each has one turn at least."""
    ends_at = time.monotonic() + seconds
    seed = first_seed
    shown_at = 0.0
    while running := [hunt for hunt in chosen if hunt.finding is None]:
        hunt = min(running, key=lambda hunt: hunt.seconds / hunt.share)
        if time.monotonic() >= ends_at and hunt.seeds:
            break
        hunt.round(seed, examples)
        if hunt.finding is not None:
            _show(hunt, examples)
        elif time.monotonic() - shown_at > 5:
            shown_at = time.monotonic()
            tried = sum(hunt.examples for hunt in chosen)
            print(f"{max(0.0, ends_at - shown_at):5.0f} s left, {tried:,} examples", flush=True)
        seed += 1


def _show(hunt: Hunt, examples: int) -> None:
    print(f"\n== {hunt.name}\n{hunt.finding}")
    command = f"{sys.argv[0]} --seconds 0 --seed {hunt.seeds[-1]} --examples {examples}"
    print(f"again: {Path(sys.executable)} {command} {hunt.name}\n", flush=True)


def main() -> None:
    """Read the command line, hunt, and say what was tried."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--examples", type=int, default=100, help="in each round")
    parser.add_argument("property", nargs="*", help="names of tests, without `test_`; default: all")
    options = parser.parse_args()
    known = {hunt.name: hunt for hunt in hunts()}
    if unknown := set(options.property) - known.keys():
        parser.error(f"no property {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.property or known]
    print(f"{len(chosen)} properties, {options.seconds:g} s, first seed {options.seed}", flush=True)
    run(chosen, options.seconds, options.seed, options.examples)
    print("\n".join(map(str, chosen)))
    sys.exit(any(hunt.finding for hunt in chosen))


if __name__ == "__main__":
    main()
