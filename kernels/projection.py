"""A linear layer for few rows, with the norm before it and the activation or residual after it."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import mlx.core as mx
import mlx.nn as nn

from .dispatch import DTYPES, Kernel, Operation, expect_shape, scalar
from .quantized import QuantizedArray

MAX_ROWS = 8
"""Rows that one dispatch serves: each of them takes registers in every lane."""
OUTPUTS = 4
"""Outputs of a SIMD group, so that an input serves four weights once it is in a register."""
GROUPS = 4
"""SIMD groups of a threadgroup: 64 threadgroups at NLLB's 1024 outputs, each of which computes the
moments of the norm anew."""
CHUNK = 8

_FIRST = ("x", "norm_weight", "norm_bias", "eps", "weight")
_LAST = ("bias", "residual")
HEADERS = ("reduction.h", "projection.h", "products.h")

DENSE = Kernel("projection", (*_FIRST, *_LAST), outputs=("out",), headers=HEADERS)
QUANTIZED = Kernel(
    "quantized_projection",
    (*_FIRST, "scales", "offsets", *_LAST),
    outputs=("out",),
    headers=HEADERS,
)
SHAPES = f"at most {MAX_ROWS} rows, one dtype"
OPERATION = Operation("projection", (DENSE,), SHAPES)
QUANTIZED_OPERATION = Operation("quantized_projection", (QUANTIZED,), f"{SHAPES}, 4 or 8 bits")


Activation = Literal["relu", "gelu_tanh"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


class Norm(NamedTuple):
    """A layer norm."""

    weight: mx.array
    """(inputs,)"""
    bias: mx.array
    """(inputs,)"""
    eps: float
    """What is added to the variance."""


def projection(
    x: mx.array,
    weight: mx.array | QuantizedArray,
    bias: mx.array | None = None,
    *,
    norm: Norm | None = None,
    activation: Activation | None = None,
    residual: mx.array | None = None,
) -> mx.array:
    """`activation(norm(x) @ weight.T + bias) + residual`, of which all but the product is optional.

    Args:
        x: (..., inputs).
        weight: (outputs, inputs).
        bias: (outputs,).
        norm: the layer norm of `x`.
        activation: "relu", or "gelu_tanh", which is GELU as GPT-2 has it.
        residual: (..., outputs).

    Returns:
        (..., outputs), in the dtype of `x`.

    Raises:
        ValueError: the shapes do not belong together.
    """
    fits = check(x, weight, bias, norm)
    (*rows_shape, inputs), outputs = x.shape, weight.shape[0]
    if residual is not None:
        expect_shape("residual", residual, (*rows_shape, outputs))
        fits = fits and residual.dtype == x.dtype
    quantized = isinstance(weight, QuantizedArray)
    operation, kernel = (QUANTIZED_OPERATION, QUANTIZED) if quantized else (OPERATION, DENSE)
    rows = x.size // max(1, inputs)
    backend = operation.backend(fits and 1 <= rows <= MAX_ROWS)
    if backend == "ops":
        return projection_ops(x, weight, bias, norm=norm, activation=activation, residual=residual)
    parameters, constants = layer(weight, bias, norm)
    (out,) = kernel(
        backend,
        [
            x.reshape(rows, inputs),
            *parameters,
            parameters[-2] if residual is None else residual.reshape(rows, outputs),
        ],
        template={
            "T": x.dtype,
            "ROWS": next(room for room in (1, 2, 4, MAX_ROWS) if rows <= room),
            "GROUPS": GROUPS,
            **constants,
            "ACTIVATION": 0 if activation is None else 1 + ACTIVATIONS.index(activation),
            "RESIDUAL": residual is not None,
        },
        grid=(32 * GROUPS, -(-outputs // (GROUPS * OUTPUTS)), 1),
        threadgroup=(32 * GROUPS, 1, 1),
        outputs=[((*x.shape[:-1], outputs), x.dtype)],
    )
    return out


def check(
    x: mx.array, weight: mx.array | QuantizedArray, bias: mx.array | None, norm: Norm | None
) -> bool:
    """Whether kernels take such a layer for such an input, (..., inputs).

    Raises:
        ValueError: the shapes do not belong together.
    """
    if not x.ndim:
        raise ValueError("x has no axes: expected (..., inputs)")
    outputs, inputs = weight.shape
    expect_shape("x", x, (*x.shape[:-1], inputs))
    given = [x]
    for name, array, size in (
        ("bias", bias, outputs),
        ("norm.weight", norm and norm.weight, inputs),
        ("norm.bias", norm and norm.bias, inputs),
    ):
        if array is not None:
            expect_shape(name, array, (size,))
            given.append(array)
    fits = weight.fits(x.dtype) if isinstance(weight, QuantizedArray) else weight.dtype == x.dtype
    alike = x.dtype in DTYPES and all(array.dtype == x.dtype for array in given)
    return fits and alike and outputs > 0 and inputs > 0


def layer(
    weight: mx.array | QuantizedArray, bias: mx.array | None, norm: Norm | None
) -> tuple[list[mx.array], dict[str, int]]:
    """Inputs and constants of a kernel that has such a layer in it, from the norm's weight on.

    In the place of what there is none of stands the weight, which the kernel then does not read.
    """
    weights: tuple[mx.array, ...]
    if isinstance(weight, QuantizedArray):
        weights, constants = weight.arrays, weight.constants
    else:
        weights, constants = (weight,), {}
    nothing = weights[-1]
    return [
        nothing if norm is None else norm.weight,
        nothing if norm is None else norm.bias,
        scalar(0.0 if norm is None else norm.eps),
        *weights,
        nothing if bias is None else bias,
    ], {
        "OUTPUTS": OUTPUTS,
        "CHUNK": CHUNK,
        **constants,
        "NORM": norm is not None,
        "BIAS": bias is not None,
    }


def projection_ops(
    x: mx.array,
    weight: mx.array | QuantizedArray,
    bias: mx.array | None = None,
    *,
    norm: Norm | None = None,
    activation: Activation | None = None,
    residual: mx.array | None = None,
) -> mx.array:
    """`projection` in plain MLX."""
    if norm is not None:
        x = mx.fast.layer_norm(x, *norm)
    if isinstance(weight, QuantizedArray):
        x = mx.quantized_matmul(
            x,
            *weight.arrays,
            transpose=True,
            group_size=weight.group_size,
            bits=weight.bits,
        )
        x = x if bias is None else x + bias
    else:
        x = x @ weight.T if bias is None else mx.addmm(bias, x, weight.T)
    if activation:
        x = nn.relu(x) if activation == "relu" else nn.gelu_approx(x)
    return x if residual is None else residual + x
