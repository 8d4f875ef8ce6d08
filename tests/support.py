"""What several test rooms share."""

from __future__ import annotations

import os

import pytest


def needs(condition: object, reason: str) -> None:
    """Skip the test where something it needs is missing; fail instead where `CI` is set.

    A developer without a network may skip; a gap must not pass unseen where it counts.
    """
    if condition:
        return
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"needed here, because CI is set: {reason}", pytrace=False)
    pytest.skip(reason)
