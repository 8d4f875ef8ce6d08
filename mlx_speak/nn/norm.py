"""Normalisation whose scale and shift come from a style vector."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

Moments = Callable[[mx.array], tuple[mx.array, mx.array]]
"""(batch, length, channels) → mean and variance to normalise with, each (batch, 1, channels)."""


class AdaptiveInstanceNorm(nn.Module):
    """AdaIN: each channel normalised over time, then styled (Huang & Belongie, 2017).

    Written y = x · scale + shift with one scale and shift a channel, so that the signal itself
    is touched as few times as can be; `scale_and_shift` lets a caller fuse that line with the
    activation that follows.
    """

    def __init__(self, style_dim: int, channels: int, eps: float = 1e-5):
        super().__init__()
        self.fc = nn.Linear(style_dim, 2 * channels)
        self.eps = eps

    def scale_and_shift(
        self, x: mx.array, style: mx.array, moments: Moments | None = None
    ) -> tuple[mx.array, mx.array]:
        """The affine map of `x` (batch, length, channels) that `style` (batch, style_dim) asks for.

        Args:
            x: what is to be normalised.
            style: what it is to be styled with.
            moments: where mean and variance come from; by default from `x`.

        Returns:
            scale and shift, each (batch, 1, channels).
        """
        gamma, beta = mx.split(self.fc(style)[:, None], 2, axis=-1)
        mean, variance = (moments or own_moments)(x)
        scale = (1 + gamma) * mx.rsqrt(variance + self.eps)
        return scale, beta - mean * scale

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """(batch, length, channels), (batch, style_dim) → (batch, length, channels)."""
        scale, shift = self.scale_and_shift(x, style)
        return x * scale + shift


class AdaptiveLayerNorm(nn.Module):
    """Layer norm over the channels of each frame, scaled and shifted by a style."""

    def __init__(self, style_dim: int, channels: int, eps: float = 1e-5):
        super().__init__()
        self.fc = nn.Linear(style_dim, 2 * channels)
        self.eps = eps

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """(batch, length, channels), (batch, style_dim) → (batch, length, channels)."""
        gamma, beta = mx.split(self.fc(style)[:, None], 2, axis=-1)
        return (1 + gamma) * mx.fast.layer_norm(x, None, None, self.eps) + beta


def own_moments(x: mx.array) -> tuple[mx.array, mx.array]:
    """Mean and (biased) variance over time.

    The sums are products with a row of ones, which the BLAS does at memory speed. The variance is
    taken about the mean: E[x²] − E[x]² would cancel on channels with a large offset.

    Args:
        x: (batch, length, channels).

    Returns:
        Two arrays (batch, 1, channels).
    """
    length = x.shape[1]
    ones = mx.ones((1, length), x.dtype)
    mean = (ones @ x) / length
    variance = (ones @ mx.square(x - mean)) / length
    return mean, variance
