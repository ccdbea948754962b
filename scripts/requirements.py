"""Print what the project needs and what the extras add, one requirement a line.

    python scripts/requirements.py EXTRA...

The test environments are made of these alone. The wheel comes later, by itself and without its
dependencies, so that a change of the code does not resolve them again.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main(extras: list[str]) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    for requirement in [
        *project["dependencies"],
        *(r for extra in extras for r in optional[extra]),
    ]:
        print(requirement)


if __name__ == "__main__":
    main(sys.argv[1:])
