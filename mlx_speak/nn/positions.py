"""Sinusoidal positions."""

from __future__ import annotations

import math
from functools import cache

import mlx.core as mx
import numpy as np


def sinusoids(length: int, dims: int) -> mx.array:
    """At least `length` rows of sinusoids, all sines of a row before all its cosines.

    The frequencies fall from 1 to 1/10,000, both included, as in tensor2tensor, fairseq and
    Marian (Vaswani et al. 2017 leaves the last one out and mixes sines with cosines).

    Returns:
        float32 (rows, dims); rows is a power of two, so that few tables are ever made.
    """
    return _table(max(256, 1 << (length - 1).bit_length()), dims)


@cache
def _table(length: int, dims: int) -> mx.array:
    half = dims // 2
    rates = np.exp(np.arange(half) * (-math.log(10000.0) / (half - 1)))
    angles = np.arange(length)[:, None] * rates
    table = mx.array(np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32))
    mx.eval(table)  # it is shared by every thread
    return table
