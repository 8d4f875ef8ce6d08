"""Inverse Fourier transforms."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Case, float64, normal


def istft(
    frames: int,
    dtype: mx.Dtype = mx.float32,
    *,
    n_fft: int = 20,
    hop_length: int = 5,
    batch: int = 1,
    polar: bool = True,
) -> Case:
    """NumPy's transform of each frame. `real` and `imag` are parts of one array, and its strides
    are those of neither."""
    bins = n_fft // 2 + 1
    product = normal(batch, 2 * bins, frames, dtype=dtype, seed=frames).swapaxes(1, 2)
    real, imag = mx.split(product, 2, axis=-1)
    along, across = float64(real), float64(imag)
    if polar:
        along, across = (np.exp(along) * f(np.sin(across)) for f in (np.cos, np.sin))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    eye = np.eye(bins)
    basis = np.fft.irfft(np.concatenate([eye, 1j * eye]), n_fft, axis=-1) * hann
    windows = np.fft.irfft(along + 1j * across, n_fft, axis=-1) * hann
    total, envelope = np.zeros((2, batch, (frames - 1) * hop_length + n_fft))
    for frame in range(frames):
        at = slice(frame * hop_length, frame * hop_length + n_fft)
        total[:, at] += windows[:, frame]
        envelope[:, at] += hann**2
    kept = slice(n_fft // 2, n_fft // 2 + (frames - 1) * hop_length)
    return Case(
        f"istft {NAMES[dtype]} {batch}x{frames} of {n_fft}/{hop_length}, {polar=}",
        kernels.istft,
        kernels.istft_ops,
        (real, imag, mx.array(basis.astype(np.float32)), mx.array(hann.astype(np.float32))),
        {"hop_length": hop_length, "polar": polar},
        (total[:, kept] / envelope[:, kept],),
        mx.float32,  # of what comes out, whatever goes in
    )


def istft_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        yield from (istft(frames, dtype) for frames in (2, 3, 31, 32, 33, 34, 65, 200))
    yield istft(40, n_fft=16, hop_length=4, batch=2, polar=False)
    # Half a window is no whole hop.
    yield istft(40, mx.bfloat16, n_fft=12, hop_length=4, polar=False)
    yield istft(5, n_fft=64, hop_length=16, polar=False)
