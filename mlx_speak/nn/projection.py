"""Linear layers together with what stands before and after them, in one dispatch on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from mlx_speak import kernels

from .activations import gelu_tanh

_FUSED: dict[Callable[[mx.array], mx.array], kernels.Activation] = {
    nn.relu: "relu",
    gelu_tanh: "gelu_tanh",
}


def project(
    x: mx.array,
    linear: nn.Module,
    *,
    norm: nn.LayerNorm | None = None,
    activation: Callable[[mx.array], mx.array] | None = None,
    residual: mx.array | None = None,
) -> mx.array:
    """`activation(linear(norm(x))) + residual`, of which all but the linear layer is optional.

    Args:
        x: (..., inputs).
        linear: quantised or not.
        residual: (..., outputs).

    Returns:
        (..., outputs).
    """
    fused = activation and _FUSED.get(activation)
    if (fused or activation is None) and (weight := kernel_weight(linear)) is not None:
        return kernels.projection(
            x,
            weight,
            linear.get("bias"),
            norm=kernel_norm(norm),
            activation=fused,
            residual=residual,
        )
    x = linear(x if norm is None else norm(x))
    x = x if activation is None else activation(x)
    return x if residual is None else residual + x


def kernel_norm(norm: nn.LayerNorm | None) -> kernels.Norm | None:
    """A layer norm as the kernels take it."""
    return norm and kernels.Norm(norm.weight, norm.bias, norm.eps)


def kernel_weight(linear: nn.Module) -> mx.array | kernels.QuantizedArray | None:
    """What the kernels take, or None where none of them is to run or the layer is another."""
    if type(linear) is nn.Linear and kernels.PROJECTION.backend(True) != "ops":
        return linear.weight
    if (
        type(linear) is nn.QuantizedLinear
        and kernels.QUANTIZED_PROJECTION.backend(True) != "ops"
        and linear.mode == "affine"
    ):
        return kernels.QuantizedArray(
            linear.weight, linear.scales, linear.biases, linear.group_size, linear.bits
        )
    return None
