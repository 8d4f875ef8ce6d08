"""The harmonic source: sines at the pitch and its overtones, and noise where there is none.

The source module of the neural source-filter model (Wang et al., 2019, arXiv:1904.12088), as
StyleTTS 2 uses it.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from ...nn.activations import sine_of_turns

SINE_AMPLITUDE = 0.1
VOICED_NOISE = 0.003
"""Standard deviation of the noise added to voiced samples; unvoiced ones get amplitude / 3."""
VOICED_THRESHOLD = 10.0
"""Hertz; below it a sample counts as unvoiced."""
HARMONICS = 9
"""The fundamental and eight overtones."""


class HarmonicSource(nn.Module):
    """F0 to the excitation signal of the generator."""

    def __init__(self, sample_rate: int, samples_per_value: int):
        super().__init__()
        self.sample_rate = sample_rate
        self.samples_per_value = samples_per_value
        self.merge = nn.Linear(HARMONICS, 1)

    def __call__(self, f0: mx.array, key: mx.array | None = None) -> mx.array:
        """The excitation for a pitch curve.

        Args:
            f0: (batch, length) in hertz.
            key: for `mx.random`; the same key gives the same noise. None: no noise.

        Returns:
            (batch, length · samples_per_value), within ±1.
        """
        batch, length = f0.shape
        per_value = self.samples_per_value
        voiced = (f0 > VOICED_THRESHOLD).astype(mx.float32)[:, :, None]  # for each F0 value
        sines = sine_of_turns(self.phases(f0)) @ self.merge.weight[0]
        signal = sines.reshape(batch, length, per_value) * (SINE_AMPLITUDE * voiced)
        if key is not None:
            # The reference adds independent noise to every harmonic and then weighs them; a
            # weighted sum of independent normals is one normal, so one draw is enough.
            deviation = VOICED_NOISE * voiced + SINE_AMPLITUDE / 3 * (1 - voiced)
            deviation = deviation * mx.linalg.norm(self.merge.weight)
            noise = mx.random.normal((batch, length, per_value), key=key)
            signal = signal + deviation * noise
        return mx.tanh(signal + self.merge.bias).reshape(batch, -1)

    def phases(self, f0: mx.array) -> mx.array:
        """Phase of every harmonic at every sample, in turns.

        The reference sums frequencies to a phase at the rate of `f0`, and interpolates linearly
        between the middles of its steps. Its fp32 phase grows with the length of the utterance
        and loses bits; here whole turns are dropped by letting 32-bit integers wrap round.

        Args:
            f0: (batch, length) in hertz.

        Returns:
            (batch, length · samples_per_value, HARMONICS).
        """
        per_value = self.samples_per_value
        overtones = mx.arange(1, HARMONICS + 1)
        turns = f0[:, :, None] * overtones / self.sample_rate  # a sample
        turns = (turns - mx.floor(turns)) * per_value  # a step of f0
        middle = _wrapping_cumsum(turns)  # phase in the middle of each step

        # Between two middles the phase runs at the rate of the later one; before the first and
        # after the last it rests.
        still = mx.zeros_like(turns[:, :1])
        first = middle[:, :1]
        start = mx.concatenate([first, middle], axis=1)[:, :, None]
        rate = mx.concatenate([still, turns[:, 1:], still], axis=1)[:, :, None]
        early = per_value // 2
        offsets = (mx.arange(per_value)[:, None] + 0.5) / per_value
        before = start[:, :-1] + rate[:, :-1] * (offsets[:early] + 0.5)
        after = start[:, 1:] + rate[:, 1:] * (offsets[early:] - 0.5)
        return mx.concatenate([before, after], axis=2).reshape(len(f0), -1, HARMONICS)


def _wrapping_cumsum(turns: mx.array) -> mx.array:
    """Running sum along axis 1 modulo 1, exact to 2⁻²⁴ of a turn a term whatever the length."""
    fraction = turns - mx.floor(turns)
    # 2²⁴ steps a turn, which fp32 holds exactly, moved to the top of a word that wraps at 1.
    steps = mx.round(fraction * 2**24).astype(mx.uint32) << 8
    return (mx.cumsum(steps, axis=1) >> 8).astype(mx.float32) / 2**24
