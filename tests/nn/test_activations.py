"""Activations against NumPy in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from mlx_speak.nn import activations
from mlx_speak.nn.activations import snake


@pytest.fixture
def signal():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 500, 16)).astype(np.float32) * 10
    alpha = rng.uniform(0.05, 5, 16).astype(np.float32)
    return x, alpha


def assert_is_snake(x, alpha):
    phase = x.astype(np.float64) * alpha
    expected = x + np.sin(phase) ** 2 / alpha
    # float32 rounds the phase (here up to 200), twice where it is counted in half turns, by 2⁻²⁴
    # of its size; the polynomial is 3e-7 off; 1/α scales both; the sum is rounded.
    tolerance = (2.0**-23 * abs(phase) + 4e-7) / alpha + 2.0**-23 * abs(expected)
    assert (abs(np.array(snake(mx.array(x), mx.array(alpha))) - expected) <= tolerance).all()


def test_snake_is_its_formula(signal):
    assert_is_snake(*signal)


def test_snake_on_other_devices(signal, monkeypatch):
    class SomeGPU:
        type = mx.DeviceType.gpu

    monkeypatch.setattr(mx, "default_device", SomeGPU)
    assert_is_snake(*signal)


@pytest.fixture
def fresh_compilation():
    activations._compiled_squared_sine.cache_clear()
    yield
    activations._compiled_squared_sine.cache_clear()


@pytest.mark.usefixtures("fresh_compilation")
def test_snake_without_a_working_compiler(signal, monkeypatch):
    def broken(function, **_):
        def call(*_):
            raise RuntimeError("[Compile::eval_cpu] Failed to compile function")

        return call

    monkeypatch.setattr(mx, "compile", broken)
    assert activations._compiled_squared_sine() is None
    assert_is_snake(*signal)


def test_squared_sine_over_many_turns():
    half_turns = np.linspace(-3000, 3000, 100_001).astype(np.float32)
    expected = np.sin(np.pi * half_turns.astype(np.float64)) ** 2
    ours = np.array(activations._squared_sine(mx.array(half_turns)))
    assert abs(ours - expected).max() <= 4e-7


def test_half_precision_stays_half(signal):
    x, alpha = signal
    ours = snake(mx.array(x, mx.float16), mx.array(alpha, mx.float16))
    assert ours.dtype == mx.float16
    assert mx.isfinite(ours).all()
