"""The bidirectional LSTM against torch's."""

from __future__ import annotations

import sys

import mlx.core as mx
import numpy as np
import pytest
from support import needs, package

from mlx_speak import blas
from mlx_speak.nn.lstm import BiLSTM

torch = package("torch")


@pytest.fixture(params=["compiled", "in MLX"])
def recurrence(request, monkeypatch):
    """Each way in which the steps are taken on the CPU."""
    if request.param == "in MLX":
        monkeypatch.setattr(blas, "library", lambda: None)
    elif sys.platform == "linux":
        needs(blas.library() is not None, "a C compiler and an OpenBLAS")
    return request.param


@pytest.mark.oracle
@pytest.mark.usefixtures("recurrence")
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("length", [1, 2, 37])
def test_equals_torch(batch: int, length: int):
    torch.manual_seed(0)
    reference = torch.nn.LSTM(12, 8, batch_first=True, bidirectional=True)
    ours = BiLSTM(12, 8)
    for index, suffix in enumerate(("", "_reverse")):
        for kind in ("ih", "hh"):
            i, f, g, o = np.split(getattr(reference, f"weight_{kind}_l0{suffix}").detach(), 4)
            getattr(ours, f"weight_{kind}")[index] = mx.array(np.concatenate([i, f, o, g]))
        bias = getattr(reference, f"bias_ih_l0{suffix}") + getattr(reference, f"bias_hh_l0{suffix}")
        i, f, g, o = np.split(bias.detach(), 4)
        ours.bias[index] = mx.array(np.concatenate([i, f, o, g]))
    x = np.random.default_rng(1).normal(size=(batch, length, 12)).astype(np.float32)
    with torch.no_grad():
        expected = reference(torch.tensor(x))[0].numpy()
    # Values within ±1, summed in another order in fp32 over at most 37 dependent steps.
    np.testing.assert_allclose(ours(mx.array(x)), expected, atol=2e-6)


@pytest.mark.usefixtures("recurrence")
def test_backward_half_sees_the_future():
    lstm = BiLSTM(2, 3)
    x = mx.zeros((1, 5, 2))
    changed = mx.array(x)
    changed[0, 4] = 1.0
    moved = np.abs(np.array(lstm(changed) - lstm(x)))[0]
    assert not moved[:4, :3].any()  # the forward direction has not come there yet
    assert moved[:, 3:].any(axis=1).all()


@pytest.mark.parametrize("size", [3, 8, 50, 256])
def test_both_ways_agree(size: int, monkeypatch):
    """For states that fill the vectors of a processor and for others, and saturated gates."""
    mx.random.seed(size)
    lstm = BiLSTM(20, size)
    x = mx.random.normal((1, 60, 20)) * mx.array([1.0, 30.0])[mx.arange(60) % 2][None, :, None]
    compiled = lstm(x)
    monkeypatch.setattr(blas, "library", lambda: None)
    # Sums in another order and a tanh that is 3e-7 off, over 60 dependent steps.
    np.testing.assert_allclose(compiled, lstm(x), atol=3e-6)


@pytest.mark.usefixtures("recurrence")
def test_a_broken_input_shows():
    x = mx.ones((1, 5, 2))
    x[0, 2, 0] = float("nan")
    out = np.isnan(np.array(BiLSTM(2, 8)(x)))[0]
    assert out[2:, :8].all()
    assert out[:3, 8:].all()
    assert not out[:2, :8].any()
