"""Signed targets: whoever knows the account's secret allows one path, for some minutes.

Pure, and separate for that: an origin that refuses a signature refuses it without a reason, so this
is the part to try by hand.
"""

from __future__ import annotations

import hmac


def signed(target: str, secret: str, until: int) -> str:
    """A request target with `expires` and `signature` behind whatever query it has.

    What is signed is the target as it was, and the second at which the permission ends.
    """
    message = f"{target}\n{until}"
    signature = hmac.digest(secret.encode(), message.encode(), "sha256").hex()
    return f"{target}{'&' if '?' in target else '?'}expires={until}&signature={signature}"
