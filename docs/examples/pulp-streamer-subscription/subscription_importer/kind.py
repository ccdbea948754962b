"""The importer type, and the function that the entry point names."""

from __future__ import annotations

from collections.abc import Mapping

from streamer.interfaces import ImporterType, Surroundings

from subscription_importer.config import read_config
from subscription_importer.importer import SubscriptionImporter


class SubscriptionType:
    """How importers of this type are configured and built."""

    schemes: frozenset[str] = frozenset()
    """No absolute URLs: all that an account is for lies at its origin."""

    secret_keys = frozenset({"secret"})

    def normalise(self, config: Mapping[str, object]) -> dict[str, object]:
        return read_config(config).model_dump(mode="json")

    def build(
        self, config: Mapping[str, object], surroundings: Surroundings
    ) -> SubscriptionImporter:
        return SubscriptionImporter(
            read_config(config), surroundings.reactor, surroundings.pseudonym
        )

    def warnings(self, config: Mapping[str, object]) -> list[str]:
        """What an operator should hear of a config that is accepted."""
        if read_config(config).url.startswith("https:"):
            return []
        return ["url is http: whoever is on the way can read the secret and the sessions"]


def subscription() -> ImporterType:
    """What the entry point names.

    Here a type checker sees whether the class is what it has to be, and with it the importer that
    `build` makes, its downloaders and their downloads.
    """
    return SubscriptionType()
