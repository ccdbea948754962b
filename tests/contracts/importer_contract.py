"""What every importer does: the checks for plugin authors, mixed into one test class per importer.

A test class gives the fixture `subject`, and where a type is checked `kind`, `configs` (which
together set every key) and `secrets`. The file is named after the type, by which issue 5 looks for
the checks of all that is built in.
"""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from streamer.importers import Registry
from streamer.testing.checks import CHECKS
from streamer.testing.relay_checks import RELAY_CHECKS
from streamer.testing.type_checks import TYPE_CHECKS


def named(checks):
    """Checks as parameters, by their names."""
    return [pytest.param(check, id=check.__name__) for check in checks]


class ImporterContract:
    """Each check of an importer."""

    @pytest.mark.parametrize("check", named(CHECKS))
    @ensureDeferred
    async def test_importer_keeps_the_contract(self, subject, check):
        """The docstring of the check says what."""
        await check(subject)


class RelayingContract:
    """Each check of an importer that relays; needs the fixture `relayed`."""

    @pytest.mark.parametrize("check", named(RELAY_CHECKS))
    @ensureDeferred
    async def test_importer_relays_by_the_contract(self, relayed, check):
        """The docstring of the check says what."""
        await check(relayed)


class ImporterTypeContract:
    """Each check of an importer type."""

    @pytest.mark.parametrize("check", named(TYPE_CHECKS))
    def test_type_keeps_the_contract(self, kind, configs, secrets, check):
        """The docstring of the check says what."""
        check(kind, configs, secrets)

    def test_type_is_the_one_that_its_file_is_named_after(self, kind, request):
        """It is what the entry point of that name gives."""
        name = request.path.stem.removeprefix("test_importer_")

        assert type(Registry().type(name)) is type(kind)
