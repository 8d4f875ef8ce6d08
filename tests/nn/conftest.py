"""Layers are made with the same random parameters in every run."""

import mlx.core as mx
import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    mx.random.seed(0)
