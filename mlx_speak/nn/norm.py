"""Normalisation whose scale and shift come from a style vector."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from .. import kernels
from ..kernels import dispatch
from . import activations, native

Moments = Callable[[mx.array], tuple[mx.array, mx.array]]
"""(batch, length, channels) → mean and variance to normalise with, each (batch, 1, channels)."""


class AdaptiveInstanceNorm(nn.Module):
    """AdaIN: each channel normalised over time, then styled (Huang & Belongie, 2017).

    What follows it comes with it, so that the signal itself is touched as few times as can be.
    """

    def __init__(self, style_dim: int, channels: int, eps: float = 1e-5):
        super().__init__()
        self.fc = nn.Linear(style_dim, 2 * channels)
        self.eps = eps

    def __call__(
        self,
        x: mx.array,
        style: mx.array,
        *,
        snake: mx.array | None = None,
        negative_slope: float = 1.0,
        moments: Moments | None = None,
    ) -> mx.array:
        """Normalise, style and activate.

        Args:
            x: (batch, length, channels).
            style: (batch, style_dim).
            snake, negative_slope: of the activation, as `kernels.instance_norm` takes them.
            moments: where mean and variance come from; by default from `x`.

        Returns:
            (batch, length, channels).
        """
        gamma, beta = mx.split(self.fc(style)[:, None], 2, axis=-1)
        if dispatch.gpu() is not None:
            return kernels.instance_norm(
                x,
                gamma,
                beta,
                eps=self.eps,
                snake=snake,
                negative_slope=negative_slope,
                moments=moments and moments(x),
            )
        # One scale and shift a channel, for the one loop over the signal that the CPU has.
        mean, variance = (moments or own_moments)(x)
        scale = (1 + gamma) * mx.rsqrt(variance + self.eps)
        shift = beta - mean * scale
        if snake is not None:
            return activations.snake(x, snake, (scale, shift))
        y = x * scale + shift
        return y if negative_slope == 1 else nn.leaky_relu(y, negative_slope)


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

    Where `snake.c` does not take them, the sums are products with a row of ones, which the BLAS
    does at memory speed. The variance is taken about the mean: E[x²] − E[x]² would cancel on
    channels with a large offset.

    Args:
        x: (batch, length, channels).

    Returns:
        Two arrays (batch, 1, channels).
    """
    batch, length, channels = x.shape
    if batch == 1 and native.serves(x):
        moments = np.empty((2, 1, 1, channels), np.float32)
        native.call("moments", length, channels, x, *moments)
        return mx.array(moments[0]), mx.array(moments[1])
    ones = mx.ones((1, length), x.dtype)
    mean = (ones @ x) / length
    variance = (ones @ mx.square(x - mean)) / length
    return mean, variance
