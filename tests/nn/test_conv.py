"""Convolutions against direct sums in float64."""

from __future__ import annotations

import sys

import mlx.core as mx
import numpy as np
import pytest
from support import needs

from mlx_speak import blas
from mlx_speak.nn import conv
from mlx_speak.nn.conv import Conv1d, Conv2d, ConvTranspose1d, conv1d, conv_transpose1d

# float32 sums of at most a few thousand unit-normal products, relative to the largest output.
TOLERANCE = 1e-5


def reference_conv1d(x, weight, bias, stride, padding, dilation, groups):
    """The definition, one output frame and one tap at a time."""
    batch, length, channels = x.shape
    out_channels, taps, _ = weight.shape
    x = np.pad(x.astype(np.float64), ((0, 0), (padding, padding), (0, 0)))
    frames = (length + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    y = np.zeros((batch, frames, out_channels))
    for group in range(groups):
        inputs = slice(group * channels // groups, (group + 1) * channels // groups)
        outputs = slice(group * out_channels // groups, (group + 1) * out_channels // groups)
        for frame in range(frames):
            for tap in range(taps):
                column = x[:, frame * stride + tap * dilation, inputs]
                y[:, frame, outputs] += column @ weight[outputs, tap].astype(np.float64).T
    return y if bias is None else y + bias


def reference_conv_transpose1d(x, weight, bias, stride, padding, output_padding, groups):
    """The definition: every input frame adds its kernel to the output."""
    batch, length, channels = x.shape
    out_channels, taps, _ = weight.shape
    full = (length - 1) * stride + taps
    y = np.zeros((batch, full + output_padding, out_channels))
    for group in range(groups):
        inputs = slice(group * channels // groups, (group + 1) * channels // groups)
        outputs = slice(group * out_channels // groups, (group + 1) * out_channels // groups)
        for frame in range(length):
            for tap in range(taps):
                row = x[:, frame, inputs].astype(np.float64)
                y[:, frame * stride + tap, outputs] += row @ weight[outputs, tap].T
    y = y[:, padding : full - padding + output_padding]
    return y if bias is None else y + bias


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def assert_close(ours, expected):
    assert ours.shape == expected.shape
    np.testing.assert_allclose(
        np.array(ours), expected, rtol=0, atol=TOLERANCE * abs(expected).max()
    )


CONV1D = [
    # batch, length, in, out, kernel, stride, padding, dilation, groups
    (1, 50, 8, 8, 3, 1, 1, 1, 1),
    (2, 51, 8, 6, 7, 1, 9, 3, 1),
    (1, 67, 6, 8, 11, 1, 25, 5, 1),
    (3, 40, 4, 4, 5, 1, 0, 1, 1),
    (1, 33, 5, 7, 1, 1, 0, 1, 1),
    (2, 33, 5, 7, 1, 2, 0, 1, 1),
    (2, 64, 6, 10, 4, 2, 1, 1, 1),
    (1, 121, 22, 12, 12, 6, 3, 1, 1),
    (1, 30, 8, 8, 3, 2, 2, 2, 1),
    (2, 31, 8, 12, 3, 1, 1, 1, 2),
    (1, 31, 8, 8, 5, 1, 2, 1, 8),
    (2, 29, 8, 16, 3, 2, 1, 1, 8),
    (1, 2, 4, 4, 7, 1, 3, 1, 1),
    (1, 1, 4, 4, 3, 1, 1, 1, 1),
    (1, 3, 4, 4, 11, 1, 25, 5, 1),
    # long enough for the CPU's products by phase
    (1, 1500, 4, 6, 7, 1, 3, 1, 1),
    (2, 1501, 4, 6, 3, 1, 3, 3, 1),
    (1, 2003, 4, 4, 3, 1, 0, 5, 1),
    (2, 1600, 3, 4, 12, 6, 3, 1, 1),
    (1, 1601, 3, 4, 12, 6, 0, 1, 1),
    (1, 300, 3, 4, 1, 1, 0, 1, 1),
    (1, 601, 3, 4, 2, 2, 1, 1, 1),
    (1, 900, 3, 4, 4, 2, 0, 2, 1),
    # more channels than are summed at a time, on both sides
    (2, 250, 130, 70, 3, 1, 1, 1, 1),
    (1, 250, 3, 33, 4, 2, 5, 3, 1),
]


@pytest.fixture(params=["in C", "by phase", "in products"])
def way(request, monkeypatch):
    """Each way that the CPU has, on inputs of any length."""
    if request.param == "in C":
        monkeypatch.setattr(conv, "_LEAST_FRAMES", 1)
        if sys.platform == "linux":
            needs(blas.library() is not None, "a C compiler and an OpenBLAS")
    else:
        monkeypatch.setattr(blas, "library", lambda: None)
    if request.param == "by phase":
        monkeypatch.setattr(conv, "_LEAST_ROWS", 1)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("case", CONV1D, ids=str)
def test_conv1d_is_its_definition(case):
    batch, length, channels, out_channels, taps, stride, padding, dilation, groups = case
    x, weight = random(batch, length, channels), random(out_channels, taps, channels // groups)
    bias = random(out_channels)
    for b in (None, bias):
        ours = conv1d(
            mx.array(x),
            mx.array(weight),
            None if b is None else mx.array(b),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        assert_close(ours, reference_conv1d(x, weight, b, stride, padding, dilation, groups))


CONV_TRANSPOSE1D = [
    # batch, length, in, out, kernel, stride, padding, output_padding, groups
    (1, 20, 8, 6, 20, 10, 5, 0, 1),
    (2, 21, 8, 6, 12, 6, 3, 0, 1),
    (1, 17, 4, 6, 16, 8, 4, 0, 1),
    (1, 17, 4, 6, 5, 2, 0, 0, 1),
    (2, 17, 4, 6, 5, 2, 2, 1, 1),
    (1, 19, 8, 8, 3, 2, 1, 1, 8),
    (2, 19, 8, 8, 3, 2, 0, 0, 8),
    (2, 9, 8, 4, 4, 2, 1, 0, 2),
    (1, 1, 4, 4, 4, 2, 1, 0, 1),
    (1, 9, 4, 4, 3, 1, 1, 0, 1),
    (1, 9, 4, 4, 2, 3, 0, 1, 1),
    (2, 700, 4, 3, 12, 6, 3, 0, 1),
    (1, 701, 4, 3, 7, 3, 1, 2, 1),
]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("case", CONV_TRANSPOSE1D, ids=str)
def test_conv_transpose1d_is_its_definition(case):
    batch, length, channels, out_channels, taps, stride, padding, output_padding, groups = case
    x, weight = random(batch, length, channels), random(out_channels, taps, channels // groups)
    bias = random(out_channels)
    for b in (None, bias):
        ours = conv_transpose1d(
            mx.array(x),
            mx.array(weight),
            None if b is None else mx.array(b),
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
        )
        expected = reference_conv_transpose1d(x, weight, b, stride, padding, output_padding, groups)
        assert_close(ours, expected)


def test_modules_hold_mlx_layout_and_apply_the_functions():
    x = mx.array(random(1, 30, 8))
    layer = Conv1d(8, 6, 5, padding=4, dilation=2, groups=2)
    assert layer.weight.shape == (6, 5, 4)
    expected = conv1d(x, layer.weight, layer.bias, padding=4, dilation=2, groups=2)
    assert mx.array_equal(layer(x), expected)
    up = ConvTranspose1d(8, 6, 4, stride=2, padding=1, bias=False)
    assert up.weight.shape == (6, 4, 8)
    assert "bias" not in up
    expected = conv_transpose1d(x, up.weight, stride=2, padding=1)
    assert mx.array_equal(up(x), expected)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(
    ("taps", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 2, 0), (4, 1, 3)]
)
def test_images_are_convolved_as_mlx_does(taps, stride, padding, dilation):
    layer = Conv2d(5, 70, taps, stride, padding, dilation)
    x = mx.array(random(2, 19, 23, 5))
    expected = mx.conv2d(x, layer.weight, stride, padding, dilation) + layer.bias
    assert_close(layer(x), np.array(expected))


@pytest.mark.parametrize("dilation", [1, 2])
def test_shapes_that_do_not_fit_are_errors(dilation):
    weight = mx.zeros((4, 5, 8))
    with pytest.raises(ValueError, match=r"weight|channels"):
        conv1d(mx.zeros((1, 30, 6)), weight, dilation=dilation)
    with pytest.raises(ValueError, match=r"kernel|smaller"):
        conv1d(mx.zeros((1, 4, 8)), weight, dilation=dilation)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_stays_half(dtype):
    x, weight = random(1, 400, 8), random(6, 3, 8)
    ours = conv1d(mx.array(x, dtype), mx.array(weight, dtype), padding=2, dilation=2)
    assert ours.dtype == dtype
    expected = reference_conv1d(x, weight, None, 1, 2, 2, 1)
    error = abs(np.array(ours.astype(mx.float32)) - expected).max()
    # 24 products of inputs rounded to 8 bits (bfloat16).
    assert error <= 2.0**-6 * abs(expected).max()


@pytest.mark.usefixtures("way")
def test_a_residual_is_added():
    x, weight, bias = random(1, 40, 6), mx.array(random(6, 3, 6)), mx.array(random(6))
    residual = mx.array(random(1, 40, 6))
    plain = conv1d(mx.array(x), weight, padding=1)
    for given, expected in ((None, plain + residual), (bias, plain + bias + residual)):
        ours = conv1d(mx.array(x), weight, given, padding=1, residual=residual)
        assert mx.allclose(ours, expected, rtol=0, atol=1e-6)  # added in one order or the other


def test_on_other_devices_mlx_convolves(monkeypatch):
    monkeypatch.setattr(conv, "_on_cpu", lambda: False)
    x, weight = mx.array(random(1, 40, 8)), mx.array(random(6, 4, 8))
    assert mx.array_equal(conv1d(x, weight, padding=2, dilation=2), mx.conv1d(x, weight, 1, 2, 2))
    expected = mx.conv_transpose1d(x, weight, 2, 1, 1, 1)
    ours = conv_transpose1d(x, weight, stride=2, padding=1, output_padding=1)
    assert mx.array_equal(ours, expected)
