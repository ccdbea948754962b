"""Services with plug-ins: from an environment of their own, or out of a folder beside this one's.

An `Environment` has the wheel under test and packages of docs/examples as pip installs them, and
nothing of the environment that runs the tests or of the checkout. Plug-ins that are broken are
written into a folder, one distribution each, for a service of the environment that runs the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from processes import Streamer
from secrecy import SealingStreamer

CHECKOUT = Path(__file__).parents[1]
EXAMPLES = CHECKOUT / "docs" / "examples"
GROUP = "pulp_streamer.importers"
SETTING_UP_SECONDS = 600
OURS = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"})
"""Variables that lead to the environment that runs the tests."""


class Environment:
    """A fresh virtual environment with the wheel under test and some packages of the examples."""

    def __init__(self, folder, *examples):
        self.folder = folder
        self.scripts = folder / "venv" / "bin"
        given = os.environ.get("STREAMER_WHEEL")
        wheel = Path(given) if given else self._wheel_of(CHECKOUT)
        # Each with what its own tests need.
        plugins = [f"{self._wheel_of(EXAMPLES / name)}[test]" for name in examples]
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._done("scripts/make-venv", folder / "venv", version, wheel, *plugins)

    def _wheel_of(self, project):
        to = self.folder / "wheels" / project.name
        self._done(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", to, project)
        [wheel] = to.glob("*.whl")
        return wheel

    def _done(self, *command):
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=SETTING_UP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, script, *arguments, cwd="/"):
        """Run one of its commands to the end, whatever its exit code."""
        return subprocess.run(
            [self.scripts / script, *map(str, arguments)],
            cwd=cwd,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=SETTING_UP_SECONDS,
            check=False,
        )

    def streamer(self, folder, **settings):
        """A service that runs from here."""
        kind = type("InstalledStreamer", (_Installed,), {"scripts": self.scripts})
        return kind(folder, **settings)


class _Installed(SealingStreamer):
    def _settings(self, settings):
        variables = super()._settings(settings)
        return {name: value for name, value in variables.items() if name not in OURS}


def clean_environment():
    """The variables of this process, but for what leads to the checkout or to its environment."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith("PULP_STREAM")
    }


def install(folder, name, module, **types):
    """Write a distribution as pip would: one module, and its entry points by type name."""
    (folder / f"{name}.py").write_text(module)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{GROUP}]", *(f"{type_} = {place}" for type_, place in types.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")


class StreamerWithPlugins(Streamer):
    """A service of the environment that runs the tests, beside what `install` wrote to a folder."""

    def __init__(self, folder, plugins):
        super().__init__(folder)
        there = os.environ.get("PYTHONPATH")
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(plugins), there]))
