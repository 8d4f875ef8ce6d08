"""Linear layers for few rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Array, Case, float64, normal


def projection(
    inputs: int, dtype: mx.Dtype = mx.float32, *, outputs: int = 37, **options: Any
) -> Case:
    weight = normal(outputs, inputs, dtype=dtype, seed=inputs) / float(np.sqrt(inputs))
    return _case(f"dense {inputs}", weight, float64(weight), inputs, dtype, **options)


def quantized_projection(
    inputs: int,
    dtype: mx.Dtype = mx.float32,
    *,
    outputs: int = 37,
    bits: int = 8,
    group_size: int = 32,
    **options: Any,
) -> Case:
    """`inputs` are rounded up to whole groups."""
    inputs = -(-inputs // group_size) * group_size
    dense = normal(outputs, inputs, dtype=dtype, seed=inputs) / float(np.sqrt(inputs))
    weight = kernels.QuantizedArray.of(dense, group_size=group_size, bits=bits)
    name = f"{bits} bits by {group_size}, {inputs}"
    return _case(name, weight, float64(weight), inputs, dtype, **options)


def normed(x: Array, dtype: mx.Dtype) -> tuple[Array, kernels.Norm]:
    """A layer norm, and what it makes of an input."""
    inputs = x.shape[-1]
    parts = [normal(inputs, dtype=dtype, seed=inputs + i, loc=0.5) for i in (2, 3)]
    centred = x - x.mean(-1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return unit * float64(parts[0]) + float64(parts[1]), kernels.Norm(*parts, 1e-5)


def _case(
    name: str,
    weight: mx.array | kernels.QuantizedArray,
    exact: Array,
    inputs: int,
    dtype: mx.Dtype,
    *,
    rows: int = 1,
    norm: bool = False,
    bias: bool = True,
    activation: kernels.Activation | None = None,
    residual: bool = False,
) -> Case:
    outputs = len(exact)
    x = normal(inputs, rows, dtype=dtype, seed=inputs + 1, loc=1.0).T
    found, arguments, options = float64(x), [x, weight], {"activation": activation}
    if norm:
        found, options["norm"] = normed(found, dtype)
    found = found @ exact.T
    if bias:
        arguments.append(normal(outputs, dtype=dtype, seed=inputs + 4))
        found = found + float64(arguments[-1])
    if activation == "relu":
        found = np.maximum(found, 0)
    elif activation:
        tangent = np.tanh(np.sqrt(2 / np.pi) * (found + 0.044715 * found**3))
        found = found / 2 * (1 + tangent)
    if residual:
        options["residual"] = normal(rows, 2 * outputs, dtype=dtype, seed=inputs + 5)[:, ::2]
        found = found + float64(options["residual"])
    return Case(
        f"{name}, {NAMES[dtype]} {rows}x{inputs}x{outputs}, "
        f"{norm=} {bias=} {activation=} {residual=}",
        kernels.projection,
        kernels.projection_ops,
        tuple(arguments),
        options,
        (found,),
        dtype,
        # Sums of codes up to 255 times the inputs and of the offsets all but cancel each other; in
        # plain MLX on the CPU they are sums in the dtype.
        6.0 if isinstance(weight, kernels.QuantizedArray) else 1.0,
    )


FUSIONS: tuple[dict[str, Any], ...] = (
    {"norm": True},  # before queries, keys and values
    {"residual": True},  # after attention, or the second layer of a feed-forward
    {"norm": True, "activation": "relu"},  # its first
    {"norm": True, "activation": "gelu_tanh"},  # GPT-2's
    {"bias": False},  # an output table
)


def projection_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        yield from (projection(n, dtype) for n in (1, 2, 7, 8, 9, 31, 32, 33, 255, 256, 257, 1024))
        yield from (projection(100, dtype, **fusion) for fusion in FUSIONS)
        yield projection(33, dtype, rows=4, norm=True, activation="relu", residual=True)
    yield from (projection(40, outputs=outputs, rows=2) for outputs in (1, 4, 15, 16, 17, 100))
    yield from (projection(300, rows=rows, **fusion) for rows in (3, 5, 8) for fusion in FUSIONS)


def quantized_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        for bits in (4, 8):
            for inputs in (1, 33, 256, 257, 1024):
                yield quantized_projection(inputs, dtype, bits=bits)
            for fusion in FUSIONS:
                yield quantized_projection(96, dtype, bits=bits, **fusion)
    for bits in (4, 8):
        for group_size in (64, 128):
            yield quantized_projection(512, bits=bits, group_size=group_size, norm=True)
        for rows in (3, 5, 8):
            yield quantized_projection(320, bits=bits, rows=rows, norm=True, residual=True)
    yield from (quantized_projection(40, outputs=outputs, rows=2) for outputs in (1, 4, 15, 17, 50))
