"""Sound at another pace keeps its pitch, its level and its edges."""

from __future__ import annotations

import numpy as np
import pytest

from mlx_speak.audio.stretch import stretch

RATE = 24000


def tone(seconds: float, frequency: float = 220.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.1, 1.25, 2.0])
@pytest.mark.parametrize("frequency", [90.0, 220.0, 701.0])
def test_a_tone_keeps_its_pitch_and_level(rate: float, frequency: float) -> None:
    out = stretch(tone(1.5, frequency), RATE, rate)
    assert out.dtype == np.float32
    # To half a window of 30 ms at either end.
    assert len(out) / RATE == pytest.approx(1.5 / rate, abs=0.031)
    inner = out[RATE // 10 : -RATE // 10]
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner)), 1 << 18))
    assert np.argmax(spectrum) * RATE / (1 << 18) == pytest.approx(frequency, rel=0.02)
    level = np.sqrt(np.mean(np.square(inner)))
    assert level == pytest.approx(0.4 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize("rate", [0.7, 1.3])
def test_pieces_join_as_they_did(rate: float) -> None:
    whole = tone(2.0, 150.0)
    pieces = [stretch(piece, RATE, rate) for piece in np.split(whole, [17_001, 31_500])]
    for piece, original in zip(pieces, np.split(whole, [17_001, 31_500]), strict=True):
        assert piece[0] == original[0]
        assert piece[-1] == original[-1]
    joined = np.concatenate(pieces)
    # No step larger than a little above the steepest of the tone itself.
    assert np.abs(np.diff(joined)).max() < 1.5 * np.abs(np.diff(whole)).max()


def test_nothing_happens_at_one_nor_to_what_is_too_short() -> None:
    short, long = tone(0.05), tone(1.0)
    assert stretch(long, RATE, 1.0) is long
    assert stretch(short, RATE, 1.25) is short
    assert len(stretch(np.zeros(0, np.float32), RATE, 1.25)) == 0
    with pytest.raises(ValueError, match="positive"):
        stretch(long, RATE, 0.0)


def test_noise_and_silence_stay_finite() -> None:
    noise = np.random.default_rng(0).standard_normal(30_001).astype(np.float32) * 0.1
    for samples in (noise, np.zeros(30_001, np.float32)):
        out = stretch(samples, RATE, 1.2)
        assert np.isfinite(out).all()
        assert np.abs(out).max() <= 2 * np.abs(samples).max()
