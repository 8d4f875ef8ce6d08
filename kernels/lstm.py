"""All steps of both directions of an LSTM layer, in one dispatch.

The recurrent weights do not fit a threadgroup's memory (2 MB of fp32 for both directions at
Kokoro's 256), so every step reads them again, through the cache. A direction is one threadgroup,
hence one core: its step cannot be shorter than that core needs to read 1 MB (0.5 MB in 16 bits),
in place of several dispatches in plain MLX. Only a Mac can show which is less.
"""

from __future__ import annotations

import mlx.core as mx

from .dispatch import DTYPES, Kernel, Operation, expect_shape

MAX_HIDDEN = 1024
"""24 bytes a number are in threadgroup memory, of which there are 32 KB."""

KERNEL = Kernel("lstm", inputs=("inputs", "weights"), outputs=("out",), headers=("lstm.h",))
OPERATION = Operation("lstm", (KERNEL,), f"one dtype, hidden size up to {MAX_HIDDEN}")


def lstm(inputs: mx.array, weights: mx.array) -> mx.array:
    """Run a bidirectional LSTM over inputs that are projected already, from zero states.

    Args:
        inputs: (batch, length, 2 · 4 · hidden): the directions (forward, backward), of each the
            gates in the order input, forget, output, cell; with their biases.
        weights: (2, 4 · hidden, hidden), recurrent.

    Returns:
        (batch, length, 2 · hidden) in the dtype of `inputs`; states are fp32 between the steps.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if weights.ndim != 3:
        raise ValueError(f"weights has the shape {weights.shape}: expected (2, 4 · hidden, hidden)")
    hidden = weights.shape[-1]
    expect_shape("weights", weights, (2, 4 * hidden, hidden))
    if inputs.ndim != 3:
        raise ValueError(f"inputs has the shape {inputs.shape}: expected (batch, length, gates)")
    batch, length, _ = inputs.shape
    expect_shape("inputs", inputs, (batch, length, 8 * hidden))
    one_dtype = inputs.dtype == weights.dtype and inputs.dtype in DTYPES
    backend = OPERATION.backend(one_dtype and inputs.size > 0 and hidden <= MAX_HIDDEN)
    if backend == "ops":
        return lstm_ops(inputs, weights)
    groups = min(32, hidden)
    (out,) = KERNEL(
        backend,
        [inputs, weights],
        template={"T": inputs.dtype, "HIDDEN": hidden, "GROUPS": groups},
        grid=(32 * groups, 2, batch),
        threadgroup=(32 * groups, 1, 1),
        outputs=[((batch, length, 2 * hidden), inputs.dtype)],
    )
    return out


def lstm_ops(inputs: mx.array, weights: mx.array) -> mx.array:
    """`lstm` in plain MLX: both directions in one loop, in a batch of two."""
    batch, length, _ = inputs.shape
    directions, gates, size = weights.shape
    dtype = inputs.dtype
    inputs = inputs.reshape(batch, length, directions, gates).transpose(1, 2, 0, 3)
    forward, backward = inputs[:, :1], inputs[::-1, 1:]
    inputs = mx.concatenate([forward, backward], axis=1)  # (length, 2, batch, gates)

    recurrent = weights.swapaxes(-1, -2)
    hidden = cell = mx.zeros((directions, batch, size))
    states = []
    for step in range(length):
        hidden, cell = lstm_cell(inputs[step], hidden @ recurrent, cell)
        states.append(hidden)
    out = mx.stack(states)  # (length, 2, batch, hidden)
    out = mx.concatenate([out[:, 0], out[::-1, 1]], axis=-1)
    return out.swapaxes(0, 1).astype(dtype)


def lstm_cell(inputs: mx.array, recurrent: mx.array, cell: mx.array) -> tuple[mx.array, mx.array]:
    """One step from the two projections (..., 4 · hidden), gates in the order i, f, o, g.

    Returns:
        The new hidden and cell states, (..., hidden).
    """
    size = cell.shape[-1]
    gates = inputs + recurrent
    sigmoids = mx.sigmoid(gates[..., : 3 * size])
    candidate = mx.tanh(gates[..., 3 * size :])
    cell = sigmoids[..., size : 2 * size] * cell + sigmoids[..., :size] * candidate
    return sigmoids[..., 2 * size :] * mx.tanh(cell), cell
