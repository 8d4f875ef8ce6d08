"""Resampling: tones keep their pitch, level and place; blocks join without a seam."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_speak.audio import Audio
from mlx_speak.audio.resample import Resampler, resample

RATE = 24000
EDGE = 0.05
"""Seconds at either end, where the filter sees the silence around the tone."""


def tone(frequency: float, rate: int, seconds: float = 1.0, delay: float = 0.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate - delay
    return np.sin(2 * np.pi * frequency * time).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 24001])
@pytest.mark.parametrize("frequency", [100.0, 1000.0, 3000.0])  # to 3/4 of the lowest Nyquist
def test_keeps_a_tone_in_phase(rate, frequency):
    out = resample(tone(frequency, RATE), RATE, rate)
    assert len(out) == rate
    inner = slice(round(EDGE * rate), -round(EDGE * rate))
    # 16-bit quantisation is at 1.5e-5; the window's stopband, 90 dB, at 3e-5.
    np.testing.assert_allclose(out[inner], tone(frequency, rate)[inner], rtol=0, atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_removes_what_the_lower_rate_cannot_hold(rate):
    out = resample(tone(rate / 2 + 500, RATE), RATE, rate)
    inner = slice(round(EDGE * rate), -round(EDGE * rate))
    assert np.abs(out[inner]).max() < 1e-4  # 80 dB down


def test_a_constant_stays_constant():
    out = resample(np.ones(RATE, np.float32), RATE, 44100)
    np.testing.assert_allclose(out[2000:-2000], 1, rtol=0, atol=1e-6)


def test_audio_resample():
    audio = Audio(tone(440, RATE), RATE)
    assert audio.resample(48000).sample_rate == 48000
    assert audio.resample(48000).seconds == audio.seconds
    assert np.array_equal(audio.resample(RATE).samples, audio.samples)


@given(
    rate=st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000, 96000]),
    blocks=st.lists(st.integers(1, 900), min_size=1, max_size=40),
)
def test_blocks_join_without_a_seam(rate, blocks):
    source = np.random.default_rng(0).uniform(-1, 1, 150_000).astype(np.float32)
    whole = Resampler(RATE, rate)
    expected = whole.process(source[: whole.needed(sum(blocks))], sum(blocks))
    resampler, taken, parts = Resampler(RATE, rate), 0, []
    for count in blocks:
        needed = resampler.needed(count)
        parts.append(resampler.process(source[taken : taken + needed], count))
        taken += needed
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_stream_runs_behind_by_its_delay():
    resampler = Resampler(RATE, 44100)
    out = resampler.process(tone(440, RATE, 1.1)[: resampler.needed(44100)], 44100)
    inner = slice(round(EDGE * 44100), None)
    expected = tone(440, 44100, delay=resampler.delay)
    np.testing.assert_allclose(out[inner], expected[inner], rtol=0, atol=1e-4)
    assert resampler.delay < 0.005
