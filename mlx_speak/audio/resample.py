"""Sample rate conversion by polyphase windowed sinc, of whole signals and block by block."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .samples import Samples

_ZERO_CROSSINGS = 24
"""Of the sinc on either side, counted at the lower of the two rates."""
_ROLLOFF = 0.92
"""Cutoff as a share of the lower Nyquist frequency: leaves the window's skirt room below it."""
_KAISER_BETA = 9.0
"""About 90 dB of stopband attenuation (Kaiser's design formula), below 16-bit quantisation."""
_CHUNK = 16384


def resample(samples: Samples, source_rate: int, target_rate: int) -> Samples:
    """Convert a whole signal, in phase with the original.

    Args:
        samples: (n,) at `source_rate` Hz.

    Returns:
        (ceil(n · target_rate / source_rate),) at `target_rate` Hz; `samples` itself at equal rates.
    """
    if source_rate == target_rate:
        return samples
    up, down = _ratio(source_rate, target_rate)
    filters = _filters(up, down)
    half = filters.shape[1] // 2
    padded = np.concatenate([np.zeros(half - 1, np.float32), samples, np.zeros(half, np.float32)])
    out = np.empty(-(-len(samples) * up // down), np.float32)
    for begin in range(0, len(out), _CHUNK):
        end = min(begin + _CHUNK, len(out))
        out[begin:end] = _interpolate(padded, np.arange(begin, end) * down, filters)
    return out


class Resampler:
    """Converts an endless signal block by block, without seams, for a reader that asks for frames.

    `needed(count)` tells how many source frames the next `count` target frames take; `process`
    takes exactly those. The output runs `delay` seconds behind the input.
    """

    def __init__(self, source_rate: int, target_rate: int):
        self._up, self._down = _ratio(source_rate, target_rate)
        self._filters = _filters(self._up, self._down)
        self._recent = np.zeros(self._filters.shape[1], np.float32)
        self._next = 0  # the next target frame's place after the last source frame's, in 1/up
        self.delay = (self._filters.shape[1] // 2) / source_rate

    def needed(self, count: int) -> int:
        """Source frames that `process` takes to return `count` target frames, at least one."""
        return (self._next + (count - 1) * self._down) // self._up + 1

    def process(self, samples: Samples, count: int) -> Samples:
        """(needed(count),) source frames to (count,) target frames."""
        known = np.concatenate([self._recent, samples])
        positions = self._next + self._up + np.arange(count) * self._down
        self._next += count * self._down - len(samples) * self._up
        self._recent = known[len(samples) :]
        return _interpolate(known, positions, self._filters)


def _interpolate(padded: Samples, positions: NDArray[np.int64], filters: Samples) -> Samples:
    """Values at `positions` (in units of 1/up source frames), each a dot product with its phase."""
    index, phase = np.divmod(positions, len(filters))
    windows = sliding_window_view(padded, filters.shape[1])[index]
    return np.einsum("nt,nt->n", windows, filters[phase])


def _ratio(source_rate: int, target_rate: int) -> tuple[int, int]:
    divisor = math.gcd(source_rate, target_rate)
    return target_rate // divisor, source_rate // divisor


@lru_cache(maxsize=8)
def _filters(up: int, down: int) -> Samples:
    """(up, taps): for each phase p, the weights of the frames around a point p/up after a frame.

    Tap j weighs the frame j - (taps/2 - 1) places after the one at or before the point. Each row
    sums to one, so that a constant stays constant.
    """
    cutoff = _ROLLOFF * min(1.0, up / down)
    half = math.ceil(_ZERO_CROSSINGS * max(1.0, down / up))
    distance = np.arange(1 - half, half + 1)[None, :] - np.arange(up)[:, None] / up
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0, 1 - (distance / half) ** 2)))
    weights = np.sinc(cutoff * distance) * window
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
