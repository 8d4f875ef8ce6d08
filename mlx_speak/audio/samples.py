"""What counts as samples: checked float32 arrays, 16-bit PCM, and ramps without clicks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SpeakError

Samples = NDArray[np.float32]

FULL_SCALE = 32768


class AudioError(SpeakError, ValueError):
    """Samples, a rate or a sound file that cannot be used; the message says what was found."""


def as_samples(samples: ArrayLike) -> Samples:
    """Check `samples` and return them as contiguous float32, without a copy where they already are.

    Args:
        samples: (n,) real floating point numbers, nominally within ±1.

    Raises:
        AudioError: for another shape or dtype, or if a value is NaN or infinite.
    """
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AudioError(f"samples must be a one-dimensional float array: {error}") from error
    if array.ndim != 1:
        raise AudioError(f"samples must have one dimension (mono), not shape {array.shape}")
    if array.size and not np.issubdtype(array.dtype, np.floating):
        raise AudioError(
            f"samples must be floating point within ±1, not {array.dtype}; "
            f"divide 16-bit PCM by {FULL_SCALE}"
        )
    array = np.ascontiguousarray(array, np.float32)
    # A sum is finite only if its terms are; overflow of finite terms is settled by looking at each.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(array.sum())
    if suspicious and not np.isfinite(array).all():
        count = int(np.count_nonzero(~np.isfinite(array)))
        raise AudioError(f"{count} of {array.size} samples are NaN or infinite")
    return array


def as_sample_rate(rate: int) -> int:
    """Check a sample rate in Hz.

    Raises:
        AudioError: unless `rate` is a whole number of at least 1.
    """
    if isinstance(rate, bool) or int(rate) != rate or rate < 1:
        raise AudioError(f"the sample rate must be a positive whole number of Hz, not {rate!r}")
    return int(rate)


def to_pcm16(samples: Samples) -> bytes:
    """16-bit little-endian PCM of float samples; values beyond ±1 are clipped."""
    scaled = np.rint(samples * np.float32(FULL_SCALE))
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()


def rise(frames: int) -> Samples:
    """(frames,) raised-cosine ramp from near 0 to near 1; reversed it is the complementary fall.

    A rise and a fall of the same length add up to one, and neither has a corner at its ends.
    """
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(frames) + 0.5) / max(frames, 1))).astype(
        np.float32
    )
