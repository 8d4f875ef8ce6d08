"""A bidirectional LSTM whose two directions run in one loop."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn


class BiLSTM(nn.Module):
    """One bidirectional LSTM layer (Hochreiter & Schmidhuber, 1997), as `torch.nn.LSTM`.

    The input projection of all steps and both directions is one product before the loop, which
    is then left with one product of two small matrices a step: forward time runs in the first
    row of a batch of two, backward time in the second.

    Parameters, with the directions (forward, backward) on the first axis and the gates in the
    order input, forget, output, cell, so that one sigmoid covers three of them:
        weight_ih: (2, 4 · hidden_size, input_size).
        weight_hh: (2, 4 · hidden_size, hidden_size).
        bias: (2, 4 · hidden_size), the sum of torch's two.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        scale = 1 / math.sqrt(hidden_size)
        gates = 4 * hidden_size
        self.weight_ih = mx.random.uniform(-scale, scale, (2, gates, input_size))
        self.weight_hh = mx.random.uniform(-scale, scale, (2, gates, hidden_size))
        self.bias = mx.zeros((2, gates))

    def __call__(self, x: mx.array) -> mx.array:
        """(batch, length, input_size) → (batch, length, 2 · hidden_size), from zero states."""
        batch, length, _ = x.shape
        directions, gates, size = self.weight_hh.shape
        projection = self.weight_ih.reshape(directions * gates, -1).T
        inputs = mx.addmm(self.bias.reshape(-1), x, projection)
        inputs = inputs.reshape(batch, length, directions, gates).transpose(1, 2, 0, 3)
        forward, backward = inputs[:, :1], inputs[::-1, 1:]
        inputs = mx.concatenate([forward, backward], axis=1)  # (length, 2, batch, gates)

        recurrent = self.weight_hh.swapaxes(-1, -2)
        hidden = cell = mx.zeros((directions, batch, size))
        states = []
        for step in range(length):
            hidden, cell = lstm_cell(inputs[step], hidden @ recurrent, cell)
            states.append(hidden)
        out = mx.stack(states)  # (length, 2, batch, hidden)
        out = mx.concatenate([out[:, 0], out[::-1, 1]], axis=-1)
        return out.swapaxes(0, 1)


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
