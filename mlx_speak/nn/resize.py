"""Changes of rate as torch and torchaudio make them, for models that were trained on theirs."""

from __future__ import annotations

import math
from functools import lru_cache

import mlx.core as mx
import numpy as np


def resized_length(length: int, scale: float) -> int:
    """Frames of which `length` frames become when they are resized."""
    return int(length * scale)


def interpolate(
    x: mx.array, scale: float, *, begin: int = 0, end: int | None = None, offset: int = 0
) -> mx.array:
    """Linear interpolation over time, or a stretch of it.

    As `torch.nn.functional.interpolate(x, scale_factor=scale, mode="linear")`: frames are
    intervals, places are counted with `scale` itself, and beyond the ends is what is there.

    Args:
        x: (batch, length, channels).
        scale: frames that come out for each that goes in.
        begin, end: output frames that are wanted; by default all.
        offset: input frames left out before x.

    Returns:
        (batch, end − begin, channels).
    """
    last = offset + x.shape[1] - 1
    end = resized_length(last + 1, scale) if end is None else end
    before, after, weight = _places(begin, end, scale, last)
    weights = mx.array(weight)[:, None].astype(x.dtype)
    left, right = x[:, mx.array(before - offset)], x[:, mx.array(after - offset)]
    return left * (1 - weights) + right * weights


def interpolated_from(begin: int, end: int, scale: float, last: int) -> tuple[int, int]:
    """The input frames, of 0 … `last`, that the output frames `begin` … `end` come from."""
    before, after, _ = _places(np.array([begin, end - 1]), None, scale, last)
    return int(before[0]), int(after[1]) + 1


def _places(begin, end, scale: float, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of output frames their two input frames, and the second one's weight; torch's float32."""
    frames = np.arange(begin, end) if end is not None else begin
    ratio = np.float32(1 / scale)
    places = ratio * (frames.astype(np.float32) + np.float32(0.5)) - np.float32(0.5)
    places = np.maximum(places, np.float32(0))
    before = np.minimum(places.astype(np.int64), last)
    weight = np.clip(places - before.astype(np.float32), 0, 1).astype(np.float32)
    return before, np.minimum(before + 1, last), weight


def sinc_resample(samples: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Sample rate conversion as `torchaudio.functional.resample` does it by default.

    A sinc within a Hann window of six zero crossings a side, cut off at 0.99 of the lower Nyquist
    frequency: softer than `audio.resample`, and what XTTS heard in training.

    Args:
        samples: (n,) float32.

    Returns:
        (ceil(n · target_rate / source_rate),) float32.
    """
    if source_rate == target_rate:
        return samples
    divisor = math.gcd(source_rate, target_rate)
    down, up = source_rate // divisor, target_rate // divisor
    kernels, width = _sinc_kernels(down, up)
    padded = np.pad(samples, (width, width + down))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[1])[::down]
    length = -(-up * len(samples) // down)
    return (windows @ kernels.T).reshape(-1)[:length]


@lru_cache(maxsize=8)
def _sinc_kernels(down: int, up: int, crossings: int = 6) -> tuple[np.ndarray, int]:
    """(up, taps) filters, one for each phase, and the samples by which the first leads."""
    cutoff = min(down, up) * 0.99
    width = math.ceil(crossings * down / cutoff)
    times = np.arange(0, -up, -1)[:, None] / up + np.arange(-width, width + down)[None] / down
    times = np.clip(times * cutoff, -crossings, crossings)
    window = np.cos(times * np.pi / crossings / 2) ** 2
    kernels = np.sinc(times) * window * (cutoff / down)
    return kernels.astype(np.float32), width
