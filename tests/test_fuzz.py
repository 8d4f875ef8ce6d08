"""The fuzz run for as long as a test may take; `make fuzz` runs ten minutes."""

from __future__ import annotations

import pytest
from fuzz import TARGETS, Target, fuzz
from hypothesis import strategies as st
from support import package


@pytest.mark.parametrize("name", TARGETS)
def test_what_others_wrote_does_no_harm(name: str) -> None:
    if name == "torch":
        package("torch")
    assert not fuzz(TARGETS[name](), number=0, examples=60)


def test_a_failure_is_told() -> None:
    def wrong(number: int) -> None:
        assert number < 500

    target = Target(wrong, (st.integers(0, 1000),))
    assert "number=500" in fuzz(target, number=0, examples=200)
