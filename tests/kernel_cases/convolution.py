"""Transposed convolutions."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Case, float64, normal


def conv_transpose1d(
    length: int,
    dtype: mx.Dtype = mx.float32,
    *,
    kernel_size: int = 8,
    stride: int = 4,
    output_padding: int = 0,
    channels: int = 9,
    out_channels: int = 10,
    batch: int = 1,
    negative_slope: float = 0.1,
    bias: bool = True,
) -> Case:
    """Each input frame adds its own `kernel_size` output frames; half the overlap is cut."""
    x = normal(batch, channels, length, dtype=dtype, seed=length).swapaxes(1, 2)
    scale = float(np.sqrt(channels * kernel_size / stride))
    weight = normal(channels, out_channels, kernel_size, dtype=dtype, seed=kernel_size) / scale
    weight = weight.astype(dtype).transpose(1, 2, 0)
    shift = normal(out_channels, dtype=dtype, seed=3) if bias else None
    padding = (kernel_size - stride) // 2
    sees = float64(x)
    sees = np.where(sees < 0, negative_slope * sees, sees)
    whole = np.zeros((batch, (length - 1) * stride + kernel_size + output_padding, out_channels))
    for frame in range(length):
        at = frame * stride
        whole[:, at : at + kernel_size] += np.einsum("bc,okc->bko", sees[:, frame], float64(weight))
    expected = whole[:, padding : whole.shape[1] - padding]
    return Case(
        f"conv transpose {NAMES[dtype]} {batch}x{length}x{channels} to {out_channels}, "
        f"{kernel_size}/{stride}+{output_padding}",
        kernels.conv_transpose1d,
        kernels.conv_transpose1d_ops,
        (x, weight) if shift is None else (x, weight, shift),
        {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "negative_slope": negative_slope,
        },
        (expected if shift is None else expected + float64(shift),),
        dtype,
    )


def conv_transpose1d_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        yield from (conv_transpose1d(length, dtype) for length in (1, 2, 31, 32, 33, 65, 150))
        yield from (conv_transpose1d(3, dtype, channels=count) for count in (15, 16, 17, 33))
        yield from (conv_transpose1d(3, dtype, out_channels=count) for count in (16, 17, 40))
    for kernel_size, stride in ((20, 10), (12, 6), (16, 8), (4, 2)):  # Kokoro's and XTTS's
        yield conv_transpose1d(40, kernel_size=kernel_size, stride=stride, channels=40, batch=2)
    yield conv_transpose1d(7, channels=1, out_channels=1)
    yield conv_transpose1d(7, kernel_size=5, stride=3, output_padding=2)
    yield conv_transpose1d(7, mx.bfloat16, kernel_size=7, stride=3, negative_slope=1.0)
    yield conv_transpose1d(7, mx.bfloat16, kernel_size=3, stride=1)
    yield conv_transpose1d(7, kernel_size=8, stride=2, bias=False)
    yield conv_transpose1d(7, kernel_size=3, stride=3)
