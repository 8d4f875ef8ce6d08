"""Attention against its formula in float64."""

from __future__ import annotations

import sys

import mlx.core as mx
import numpy as np
import pytest
from support import needs

from mlx_speak import blas
from mlx_speak.nn.attention import attend


@pytest.fixture(params=["in C", "in MLX"])
def way(request, monkeypatch):
    """Each way that the CPU has for many queries."""
    if request.param == "in MLX":
        monkeypatch.setattr(blas, "library", lambda: None)
    elif sys.platform == "linux":
        needs(blas.library() is not None, "a C compiler and an OpenBLAS")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("spread", [1.0, 30.0])
@pytest.mark.parametrize("query_length", [1, 32, 33, 114])
def test_attend_is_its_formula(query_length: int, spread: float):
    """On both sides of where it changes its way, with even weights and with sharp ones."""
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(2, 3, query_length, 16)) * spread
    keys, values = rng.normal(size=(2, 2, 3, 50, 16))
    scores = queries @ keys.swapaxes(-1, -2) / 4
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    expected = (weights / weights.sum(axis=-1, keepdims=True)) @ values
    single = (mx.array(x.astype(np.float32)) for x in (queries, keys, values))
    # Scores reach 3 · spread · 4, and a float32 of that size is off by 2⁻²⁴ of it.
    np.testing.assert_allclose(np.array(attend(*single)), expected, atol=2e-6 * spread)


@pytest.mark.usefixtures("way")
def test_a_broken_input_shows():
    """What is no number must not be hidden by the arithmetic that stands for the exponential."""
    x = mx.ones((1, 1, 40, 8))
    x[0, 0, 3, 3] = float("nan")
    assert mx.isnan(attend(x, x, x)).any()
