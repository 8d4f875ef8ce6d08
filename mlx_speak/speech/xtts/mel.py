"""The two mel spectrograms that XTTS hears a speaker through, as torchaudio makes them."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from ...nn.spectral import mel_filters, power_spectrogram

CONDITIONING_RATE = 22050
SPEAKER_RATE = 16000


def conditioning_mel(samples: mx.array, mel_stats: mx.array) -> mx.array:
    """What the conditioning encoder hears.

    Args:
        samples: (batch, n) at 22,050 Hz, more than 1024.
        mel_stats: (80,), what each band's logarithm is divided by.

    Returns:
        (batch, 1 + n // 256, 80).
    """
    window = mx.array(np.pad(_raised_cosine(1024, 0.5), 512))
    power = power_spectrogram(samples, window, hop_length=256)
    mel = power @ mel_filters(CONDITIONING_RATE, 2048, 80, 8000, normalised=True)
    return mx.log(mx.maximum(mel, 1e-5)) / mel_stats


def speaker_mel(samples: mx.array, bands: int = 64) -> mx.array:
    """What the speaker encoder hears, before its logarithm.

    Args:
        samples: (batch, n) at 16,000 Hz, more than 256.

    Returns:
        (batch, 1 + n // 160, bands).
    """
    before = mx.concatenate([samples[:, 1:2], samples[:, :-1]], axis=1)
    window = mx.array(np.pad(_raised_cosine(400, 0.54), 56))
    power = power_spectrogram(samples - 0.97 * before, window, hop_length=160)
    return power @ mel_filters(SPEAKER_RATE, 512, bands, SPEAKER_RATE / 2)


def _raised_cosine(length: int, offset: float) -> np.ndarray:
    """A periodic Hann (offset 0.5) or Hamming (0.54) window."""
    turns = np.arange(length) / length
    return (offset - (1 - offset) * np.cos(2 * np.pi * turns)).astype(np.float32)
