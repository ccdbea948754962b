"""Lets `python -m streamer.cli` do what `pulp-streamer` does."""

from __future__ import annotations

from streamer.cli import main

main()
