"""Activations that MLX does not have."""

from __future__ import annotations

import mlx.core as mx


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """x + sin²(αx) / α: periodic, for signals that are (Ziyin et al., 2020, arXiv:2006.08195).

    Args:
        x: (..., channels).
        alpha: (channels,), the frequency each channel prefers; not zero.
    """
    return x + mx.square(mx.sin(alpha * x)) / alpha
