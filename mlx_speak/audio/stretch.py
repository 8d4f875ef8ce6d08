"""Faster or slower speech at the same pitch, for sound that has been made already."""

from __future__ import annotations

import numpy as np

from .samples import Samples, rise

_WINDOW = 0.03
"""Seconds: longer than two periods of a low voice, shorter than a sound of speech."""
_SEARCH = 0.01
"""Seconds by which a window may be moved to where it continues the one before."""


def stretch(samples: Samples, sample_rate: int, rate: float) -> Samples:
    """Change the pace, not the pitch, by overlapping windows where they are alike.

    The first and the last half window stay as they are, so that stretched pieces of one sound join
    as the pieces themselves do.

    Args:
        samples: (n,) float32.
        sample_rate: in Hz.
        rate: 2 is twice as fast.

    Returns:
        About n / rate samples, to half a window; those of less than two windows are returned as
        they are.

    Source: Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA)
    for high quality time-scale modification of speech" (ICASSP 1993).
    """
    if not rate > 0:
        raise ValueError(f"a pace of {rate} is none: give a positive rate")
    hop = max(1, round(_WINDOW * sample_rate / 2))
    window, search = 2 * hop, round(_SEARCH * sample_rate)
    count = round(len(samples) / rate / hop) - 1
    if rate == 1 or len(samples) < 2 * window or count < 2:
        return samples
    last = len(samples) - window
    out = np.empty((count + 1) * hop, np.float32)
    out[:hop] = samples[:hop]
    ramp = rise(hop)
    place = 0
    for k in range(1, count):
        goes_on = place + hop  # where the input itself would continue
        template = samples[goes_on : goes_on + hop]
        middle = min(round(k * last / (count - 1)), last)
        begin, end = max(0, middle - search), min(last, middle + search)
        if k == count - 1:
            place = last
        elif len(template) == hop:
            place = begin + _most_alike(samples[begin : end + hop], template)
        else:
            place = middle
        tail = samples[goes_on : goes_on + hop]
        out[k * hop : (k + 1) * hop] = samples[place : place + hop] * ramp
        out[k * hop : k * hop + len(tail)] += tail * ramp[::-1][: len(tail)]
    out[count * hop :] = samples[len(samples) - hop :]
    return out


def _most_alike(samples: Samples, template: Samples) -> int:
    """Where in `samples` the template fits best, by normalised correlation."""
    products = np.correlate(samples, template, "valid")
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    energy = energy[len(template) :] - energy[: -len(template)]
    return int(np.argmax(products / np.sqrt(np.maximum(energy, 1e-9))))
