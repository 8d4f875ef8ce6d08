"""Activations against NumPy in float64."""

from __future__ import annotations

import sys

import mlx.core as mx
import numpy as np
import pytest
from support import needs

from mlx_speak import blas
from mlx_speak.nn import activations
from mlx_speak.nn.activations import exp2_nonpositive, gelu_tanh, sine_of_turns, snake


@pytest.fixture(params=["in C", "in MLX"])
def signal(request, monkeypatch):
    """A signal and its alpha, for each way that the CPU has."""
    if request.param == "in MLX":
        monkeypatch.setattr(blas, "library", lambda: None)
    elif sys.platform == "linux":
        needs(blas.library() is not None, "a C compiler and an OpenBLAS")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 500, 16)).astype(np.float32) * 10
    alpha = rng.uniform(0.05, 5, 16).astype(np.float32)
    return x, alpha


def assert_is_snake(x, alpha, scale=None, shift=None):
    affine = None if scale is None else (mx.array(scale), mx.array(shift))
    ours = np.array(snake(mx.array(x), mx.array(alpha), affine))
    x = x.astype(np.float64)
    size = abs(x) if scale is None else abs(x * scale) + abs(shift)
    x = x if scale is None else x * scale + shift
    expected = x + np.sin(x * alpha) ** 2 / alpha
    # float32 rounds the phase (here up to 700) by 2⁻²⁴ of the size of its terms, four times where
    # it is counted in half turns, and y + sin²(y) has slopes up to 2; the polynomial is 4e-7 off.
    tolerance = 2.0**-21 * size + 1e-6 / alpha
    assert (abs(ours - expected) <= tolerance).all()


def test_snake_of_a_normalised_signal(signal):
    x, alpha = signal
    scale = np.linspace(-2, 3, x.shape[-1], dtype=np.float32)
    shift = np.linspace(5, -4, x.shape[-1], dtype=np.float32)
    assert_is_snake(x, alpha, scale[None, None], shift[None, None])


def test_snake_is_its_formula(signal):
    assert_is_snake(*signal)


def test_snake_on_other_devices(signal, monkeypatch):
    class SomeGPU:
        type = mx.DeviceType.gpu

    monkeypatch.setattr(mx, "default_device", SomeGPU)
    assert_is_snake(*signal)


def test_snake_without_a_working_compiler(signal, monkeypatch):
    monkeypatch.setattr(activations, "compiler_works", lambda: False)
    monkeypatch.setattr(mx, "compile", lambda _: pytest.fail("compiled"))
    assert_is_snake(*signal)


def test_unit_snake_over_many_turns():
    half_turns = np.linspace(-3000, 3000, 100_001).astype(np.float32)
    angle = np.pi * half_turns.astype(np.float64)
    ours = np.array(activations._unit_snake(mx.array(half_turns)))
    # Rounding of π, of its product and of the sum; the polynomial itself is 4e-7 off.
    assert (abs(ours - angle - np.sin(angle) ** 2) <= 4e-7 + 2.0**-22 * (abs(angle) + 1)).all()


def test_half_precision_stays_half(signal):
    x, alpha = signal
    ours = snake(mx.array(x, mx.float16), mx.array(alpha, mx.float16))
    assert ours.dtype == mx.float16
    assert mx.isfinite(ours).all()


def test_gelu_tanh_is_its_formula():
    x = np.linspace(-12, 12, 100_001).astype(np.float32)
    exact = x.astype(np.float64)
    cubic = np.sqrt(2 / np.pi) * (exact + 0.044715 * exact**3)
    expected = exact / 2 * (1 + np.tanh(cubic))
    # The tanh is 3e-7 off, and is multiplied by x / 2; the rest is rounding.
    tolerance = 3e-7 * (abs(exact) + 1)
    for given in (mx.array(x), mx.array(x).reshape(-1, 1)):
        assert (abs(np.array(gelu_tanh(given)).ravel() - expected) <= tolerance).all()


def test_gelu_tanh_of_other_kinds_of_numbers():
    assert mx.isnan(gelu_tanh(mx.array([float("nan")]))).all()
    half = gelu_tanh(mx.array([-1.0, 0.5, 3.0], mx.float16))
    assert half.dtype == mx.float16


def test_powers_of_two():
    x = np.linspace(-125.9, 0, 100_001).astype(np.float32)
    ours = np.array(exp2_nonpositive(mx.array(x)))
    np.testing.assert_allclose(ours, np.exp2(x.astype(np.float64)), rtol=2.5e-7)
    assert ours[-1] == 1  # what an attention gives the best key
    far = np.array(exp2_nonpositive(mx.array([-127.0, -3e38, -np.inf])))
    assert (far == 2.0**-126).all()
    assert np.isnan(np.array(exp2_nonpositive(mx.array([np.nan])))).all()


def test_sine_of_turns():
    turns = np.linspace(-300, 300, 600_011).astype(np.float32)
    expected = np.sin(2 * np.pi * turns.astype(np.float64))
    # Taking a quarter turn away rounds by 2⁻²⁴ of the size, which is then multiplied by 2π.
    tolerance = 4e-7 + 2.0**-21 * abs(turns)
    assert (abs(np.array(sine_of_turns(mx.array(turns))) - expected) <= tolerance).all()
    assert mx.isnan(sine_of_turns(mx.array([float("nan")]))).all()
