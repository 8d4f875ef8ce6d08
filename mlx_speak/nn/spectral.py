"""Short-time Fourier transforms, and the mel scale.

For the 20-point transforms of an iSTFT vocoder a product with the Fourier basis is cheaper than
an FFT, and its window comes for free. `stft` and `istft` follow `torch.stft` and `torch.istft`
with a periodic Hann window, `center=True` and reflected borders; `power_spectrogram`, for long
windows, is an FFT.
"""

from __future__ import annotations

from functools import lru_cache

import mlx.core as mx
import numpy as np

from .. import kernels


def stft(x: mx.array, n_fft: int, hop_length: int) -> tuple[mx.array, mx.array]:
    """Real and imaginary parts of the centred short-time Fourier transform.

    Args:
        x: (batch, samples), with more than n_fft / 2 samples.
        n_fft: window and transform length, even.
        hop_length: samples between frames.

    Returns:
        Two arrays (batch, 1 + samples // hop_length, n_fft // 2 + 1).
    """
    if n_fft % 2:
        raise ValueError(f"n_fft {n_fft} is not even")
    half = n_fft // 2
    spectrum = _centred_windows(x, n_fft, hop_length) @ mx.array(_analysis_basis(n_fft))
    return spectrum[..., : half + 1], spectrum[..., half + 1 :]


def power_spectrogram(x: mx.array, window: mx.array, hop_length: int) -> mx.array:
    """Squared magnitudes of the centred short-time Fourier transform, borders reflected.

    Args:
        x: (batch, samples), with more than n_fft / 2 samples.
        window: (n_fft,), n_fft even.
        hop_length: samples between frames.

    Returns:
        (batch, 1 + samples // hop_length, n_fft // 2 + 1).
    """
    spectrum = mx.fft.rfft(_centred_windows(x, window.shape[0], hop_length) * window, axis=-1)
    return mx.square(spectrum.real) + mx.square(spectrum.imag)


def _centred_windows(x: mx.array, n_fft: int, hop_length: int) -> mx.array:
    """(batch, samples) → (batch, 1 + samples // hop_length, n_fft), a view."""
    batch, samples = x.shape
    half = n_fft // 2
    if samples <= half:
        raise ValueError(f"{samples} samples are too few to reflect {half} at each border")
    left, right = x[:, half:0:-1], x[:, -2 : -half - 2 : -1]
    x = mx.contiguous(mx.concatenate([left, x, right], axis=1))
    frames = 1 + samples // hop_length
    return mx.as_strided(x, (batch, frames, n_fft), (x.shape[1], hop_length, 1))


@lru_cache(maxsize=8)
def _mel_triangles(
    sample_rate: int, n_fft: int, bands: int, highest: float, normalised: bool
) -> np.ndarray:
    frequencies = np.linspace(0, sample_rate // 2, n_fft // 2 + 1)
    mels = np.linspace(0, 2595 * np.log10(1 + highest / 700), bands + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    slopes = corners[None] - frequencies[:, None]
    width = np.diff(corners)
    rising, falling = -slopes[:, :-2] / width[:-1], slopes[:, 2:] / width[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    if normalised:
        triangles *= 2 / (corners[2:] - corners[:-2])
    return triangles.astype(np.float32)


def mel_filters(
    sample_rate: int, n_fft: int, bands: int, highest: float, *, normalised: bool = False
) -> mx.array:
    """Triangles on the HTK mel scale from 0 Hz to `highest`, as `torchaudio.functional` has them.

    Args:
        normalised: to equal areas ("slaney"); by default to equal heights.

    Returns:
        (n_fft // 2 + 1, bands), to multiply a spectrogram with.
    """
    return mx.array(_mel_triangles(sample_rate, n_fft, bands, highest, normalised))


def istft(
    real: mx.array, imag: mx.array, n_fft: int, hop_length: int, *, polar: bool = False
) -> mx.array:
    """The signal whose `stft` comes nearest to the given one, by weighted overlap-add.

    Args:
        real: (batch, frames, n_fft // 2 + 1).
        imag: the same; at zero and at the Nyquist frequency it counts for nothing.
        n_fft: window and transform length, a multiple of `hop_length`.
        hop_length: samples between frames.
        polar: as `kernels.istft` takes it: what `real` and `imag` are made of is given.

    Returns:
        (batch, (frames − 1) · hop_length).
    """
    if n_fft % hop_length:
        raise ValueError(f"n_fft {n_fft} is not a multiple of hop_length {hop_length}")
    basis, window = mx.array(_synthesis_basis(n_fft)), mx.array(_hann(n_fft), mx.float32)
    return kernels.istft(real, imag, basis, window, hop_length=hop_length, polar=polar)


def _hann(n_fft: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def _angles(n_fft: int) -> np.ndarray:
    """Phase of each bin at each sample, (n_fft, bins), reduced exactly before it is scaled."""
    turns = np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) % n_fft
    return 2 * np.pi * turns / n_fft


@lru_cache(maxsize=8)
def _analysis_basis(n_fft: int) -> np.ndarray:
    """Windowed Fourier basis (n_fft, 2 · bins): cosines, then negative sines."""
    angles = _angles(n_fft)
    sine = np.sin(angles)
    sine[:, [0, -1]] = 0  # exactly, so that the phase there is 0 or π and nothing between
    basis = np.concatenate([np.cos(angles), -sine], axis=1)
    return (_hann(n_fft)[:, None] * basis).astype(np.float32)


@lru_cache(maxsize=8)
def _synthesis_basis(n_fft: int) -> np.ndarray:
    """Windowed inverse real transform (2 · bins, n_fft) for real parts over imaginary ones."""
    angles = _angles(n_fft).T
    weight = np.full((n_fft // 2 + 1, 1), 2 / n_fft)
    weight[[0, -1]] = 1 / n_fft
    sine = np.sin(angles)
    sine[[0, -1]] = 0
    basis = np.concatenate([weight * np.cos(angles), -weight * sine])
    return (_hann(n_fft) * basis).astype(np.float32)
