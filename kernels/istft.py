"""The inverse short-time Fourier transform of short windows, in one dispatch."""

from __future__ import annotations

import mlx.core as mx

from .dispatch import DTYPES, Kernel, Operation, expect_shape

HOPS = 32
"""Hops of samples that a threadgroup makes."""
MAX_GROUPS = 8
MAX_N_FFT = 64
"""Basis and spectra are in threadgroup memory, of which there are 32 KB."""

KERNEL = Kernel("istft", inputs=("real", "imag", "basis", "window"), outputs=("out",))
OPERATION = Operation("istft", (KERNEL,), f"one dtype, windows of at most {MAX_N_FFT}")


def istft(
    real: mx.array,
    imag: mx.array,
    basis: mx.array,
    window: mx.array,
    *,
    hop_length: int,
    polar: bool = False,
) -> mx.array:
    """Windows of a spectrum, overlapped, added, and divided by the squared window's overlap-add.

    Args:
        real, imag: (batch, frames, n_fft // 2 + 1).
        basis: (2 · (n_fft // 2 + 1), n_fft) fp32, the windowed inverse transform of real parts over
            imaginary ones.
        window: (n_fft,) fp32.
        hop_length: samples between frames, of which n_fft is a multiple.
        polar: `real` is the logarithm of the magnitude and `imag` a number whose sine is the phase,
            as iSTFTNet predicts them (Kaneko et al., 2022, arXiv:2203.02395).

    Returns:
        (batch, (frames − 1) · hop_length) fp32: without the half window at either end.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if real.ndim != 3:
        raise ValueError(f"real has the shape {real.shape}: expected (batch, frames, bins)")
    batch, frames, bins = real.shape
    n_fft = 2 * (bins - 1)
    expect_shape("imag", imag, real.shape)
    expect_shape("basis", basis, (2 * bins, n_fft))
    expect_shape("window", window, (n_fft,))
    if n_fft % hop_length:
        raise ValueError(f"n_fft {n_fft} is not a multiple of hop_length {hop_length}")
    one_dtype = real.dtype == imag.dtype and real.dtype in DTYPES
    in_fp32 = basis.dtype == window.dtype == mx.float32
    backend = OPERATION.backend(
        one_dtype and in_fp32 and batch > 0 and frames > 1 and n_fft <= MAX_N_FFT
    )
    if backend == "ops":
        return istft_ops(real, imag, basis, window, hop_length=hop_length, polar=polar)
    groups = min(hop_length, MAX_GROUPS)
    (out,) = KERNEL(
        backend,
        [real, imag, basis, window],
        template={
            "N_FFT": n_fft,
            "HOP": hop_length,
            "HOPS": HOPS,
            "GROUPS": groups,
            "POLAR": polar,
        },
        grid=(32 * groups, -(-(frames - 1) // HOPS), batch),
        threadgroup=(32 * groups, 1, 1),
        outputs=[((batch, (frames - 1) * hop_length), mx.float32)],
    )
    return out


def istft_ops(
    real: mx.array,
    imag: mx.array,
    basis: mx.array,
    window: mx.array,
    *,
    hop_length: int,
    polar: bool = False,
) -> mx.array:
    """`istft` in plain MLX."""
    frames, n_fft = real.shape[1], len(window)
    if polar:
        magnitude = mx.exp(real.astype(mx.float32))
        phase = mx.sin(imag.astype(mx.float32))
        real, imag = magnitude * mx.cos(phase), magnitude * mx.sin(phase)
    windows = mx.concatenate([real, imag], axis=-1) @ basis
    envelope = mx.broadcast_to(mx.square(window), (1, frames, n_fft))
    kept = slice(n_fft // 2, n_fft // 2 + (frames - 1) * hop_length)
    return _overlap_add(windows, hop_length)[:, kept] / _overlap_add(envelope, hop_length)[:, kept]


def _overlap_add(windows: mx.array, hop_length: int) -> mx.array:
    """Sum (batch, frames, n_fft) windows that start `hop_length` apart: (batch, samples)."""
    batch, frames, n_fft = windows.shape
    overlap = n_fft // hop_length
    hops = windows.reshape(batch, frames, overlap, hop_length)
    total = mx.zeros((batch, frames + overlap - 1, hop_length), windows.dtype)
    for k in range(overlap):
        total = total + mx.pad(hops[:, :, k], [(0, 0), (k, overlap - 1 - k), (0, 0)])
    return total.reshape(batch, -1)
