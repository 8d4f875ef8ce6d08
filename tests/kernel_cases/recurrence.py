"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Case, float64, normal


def lstm(
    length: int, dtype: mx.Dtype = mx.float32, *, hidden: int = 5, batch: int = 1, size: float = 1.0
) -> Case:
    """Inputs as views, weights stored the other way round; `size` scales the inputs."""
    wide = normal(batch, 8 * hidden + 3, length, dtype=dtype, seed=length)
    inputs = (wide[:, 3:] * size).astype(dtype).swapaxes(1, 2)
    weights = normal(2, hidden, 4 * hidden, dtype=dtype, seed=hidden) / float(np.sqrt(hidden))
    weights = weights.astype(dtype).swapaxes(1, 2)
    projected = float64(inputs).reshape(batch, length, 2, 4, hidden)
    recurrent = float64(weights).reshape(2, 4, hidden, hidden)
    expected = np.zeros((batch, length, 2, hidden))
    for direction, order in enumerate((range(length), reversed(range(length)))):
        state, cell = np.zeros((2, batch, hidden))
        for t in order:
            gates = projected[:, t, direction] + np.einsum(
                "ghk,bk->bgh", recurrent[direction], state
            )
            with np.errstate(over="ignore"):
                enter, forget, leave = np.moveaxis(1 / (1 + np.exp(-gates[:, :3])), 1, 0)
            cell = forget * cell + enter * np.tanh(gates[:, 3])
            state = leave * np.tanh(cell)
            expected[:, t, direction] = state
    return Case(
        f"lstm {NAMES[dtype]} {batch}x{length}x{hidden}, inputs of {size}",
        kernels.lstm,
        kernels.lstm_ops,
        (inputs, weights),
        {},
        (expected.reshape(batch, length, 2 * hidden),),
        dtype,
    )


def lstm_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        yield from (lstm(length, dtype) for length in (1, 2, 31, 32, 33, 97))
        yield from (lstm(3, dtype, hidden=hidden) for hidden in (1, 8, 31, 32, 33, 65))
    yield lstm(7, batch=3)
    yield lstm(7, size=200.0)  # saturated gates
    yield lstm(2, hidden=256)  # Kokoro's
