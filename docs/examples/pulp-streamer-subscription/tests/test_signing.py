"""The signature, beside one that was made by another program."""

from __future__ import annotations

import pytest

from subscription_importer.signing import signed

# printf '/files/f\n1000' | openssl dgst -sha256 -hmac secret
BY_OPENSSL = "95fb26a13180be0069e63aa0372488f1bbcead4aff339aca786046198fbbdf5d"


def test_signature_is_that_of_the_target_and_its_end():
    """Which is what the origin computes."""
    expected = f"/files/f?expires=1000&signature={BY_OPENSSL}"

    assert signed("/files/f", "secret", 1000) == expected


@pytest.mark.parametrize("other", [("/files/g", "secret", 1), ("/files/f", "other", 1)])
def test_signature_is_for_one_target_by_one_account(other):
    """Another path or secret has another one."""
    assert signed(*other)[-64:] != signed("/files/f", "secret", 1)[-64:]


def test_query_of_a_target_is_kept():
    """What is added stands behind it."""
    assert signed("/f?v=1", "secret", 1000).startswith("/f?v=1&expires=1000&signature=")
