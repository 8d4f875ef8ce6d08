"""Activations against NumPy in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from mlx_speak.nn.activations import snake


def test_snake_is_its_formula():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 50, 16)).astype(np.float32) * 10
    alpha = rng.uniform(0.05, 5, 16).astype(np.float32)
    phase = x.astype(np.float64) * alpha
    expected = x + np.sin(phase) ** 2 / alpha
    # float32 rounds the phase at 2⁻²⁴ of its size, and 1/α scales what the sine makes of it.
    tolerance = 2.0**-23 * (abs(phase) + 1) / alpha + 2.0**-23 * abs(expected)
    assert (abs(np.array(snake(mx.array(x), mx.array(alpha))) - expected) <= tolerance).all()
