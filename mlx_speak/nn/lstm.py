"""A bidirectional LSTM whose two directions run in one loop."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from .. import kernels
from . import native


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
        directions, gates, _ = self.weight_hh.shape
        projection = self.weight_ih.reshape(directions * gates, -1).T
        inputs = mx.addmm(self.bias.reshape(-1), x, projection)
        if batch == 1 and native.serves(inputs, self.weight_hh):
            return _recur_natively(inputs.reshape(length, directions, gates), self.weight_hh)[None]
        return kernels.lstm(inputs, self.weight_hh)


def _recur_natively(inputs: mx.array, weights: mx.array) -> mx.array:
    """The loop of `BiLSTM` in one call of `lstm.c`: evaluates what it is given.

    Args:
        inputs: (length, 2, 4 · hidden_size) float32, projected.
        weights: (2, 4 · hidden_size, hidden_size) float32.

    Returns:
        (length, 2 · hidden_size).
    """
    length, _, gates = inputs.shape
    out = np.empty((length, gates // 2), np.float32)
    native.call("lstm", length, gates // 4, inputs, weights, out)
    return mx.array(out)
