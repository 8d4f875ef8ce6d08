"""Adaptive norms against torch's, and against plain formulas in double precision."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from support import package

from mlx_speak.nn.norm import AdaptiveInstanceNorm, AdaptiveLayerNorm


def _styled(fc, style: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = np.array(fc.weight, np.float64), np.array(fc.bias, np.float64)
    gamma, beta = np.split(style.astype(np.float64) @ weight.T + bias, 2, axis=-1)
    return gamma[:, None], beta[:, None]


@pytest.mark.parametrize("batch", [1, 2])  # one is measured in C, where that is compiled
@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("length", [2, 63, 5000])
def test_instance_norm_in_double_precision(length: int, offset: float, batch: int):
    rng = np.random.default_rng(length)
    x = (rng.normal(size=(batch, length, 6)) * 3 + offset).astype(np.float32)
    style = rng.normal(size=(batch, 4)).astype(np.float32)
    norm = AdaptiveInstanceNorm(4, 6)
    gamma, beta = _styled(norm.fc, style)
    wide = x.astype(np.float64)
    mean, variance = wide.mean(1, keepdims=True), wide.var(1, keepdims=True)
    expected = (1 + gamma) * (wide - mean) / np.sqrt(variance + 1e-5) + beta
    # fp32 keeps 24 bits of x, of which an offset ten times the deviation costs three or four.
    atol = 5e-5 if offset else 5e-6
    # A style may scale by several times, and with it the error: a few roundings of the result.
    np.testing.assert_allclose(norm(mx.array(x), mx.array(style)), expected, atol=atol, rtol=4e-6)


@pytest.mark.oracle
def test_layer_norm_equals_torch():
    torch = package("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 6)).astype(np.float32)
    style = rng.normal(size=(2, 4)).astype(np.float32)
    norm = AdaptiveLayerNorm(4, 6)
    gamma, beta = _styled(norm.fc, style)
    plain = torch.nn.functional.layer_norm(torch.tensor(x), (6,)).numpy()
    np.testing.assert_allclose(
        norm(mx.array(x), mx.array(style)), (1 + gamma) * plain + beta, atol=5e-6, rtol=4e-6
    )
