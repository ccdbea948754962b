"""Prints what tests found out cell by cell as the table that it is, at the end of the run.

A test hands in its cell with `record_property("matrix", (title, row, column, text))`. The hook
stands in the `conftest` of all tests, which the process that reports has loaded even where others
run them.
"""

from __future__ import annotations


def pytest_terminal_summary(terminalreporter):
    """Write one table for each title; a cell that was not tried stays empty."""
    tables = {}
    for title, row, column, text in _cells(terminalreporter):
        tables.setdefault(title, {}).setdefault(row, {})[column] = text
    for title, rows in tables.items():
        columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
        lines = [["", *columns]]
        lines += [[row, *(cells.get(each, "") for each in columns)] for row, cells in rows.items()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        terminalreporter.section(title)
        for line in lines:
            padded = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
            terminalreporter.write_line(" | ".join(padded).rstrip())


def _cells(terminalreporter):
    reports = [each for kind in ("passed", "failed") for each in terminalreporter.getreports(kind)]
    calls = sorted((each for each in reports if each.when == "call"), key=lambda each: each.start)
    return [value for each in calls for name, value in each.user_properties if name == "matrix"]
