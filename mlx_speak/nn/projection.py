"""Linear layers together with what stands before and after them, in one dispatch or call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import mlx.core as mx
import mlx.nn as nn

from mlx_speak import kernels

from . import native
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
    if fused or activation is None:
        bias = linear.get("bias")
        options: _Options = {
            "norm": kernel_norm(norm),
            "activation": fused,
            "residual": residual,
        }
        if (weight := kernel_weight(linear)) is not None:
            return kernels.projection(x, weight, bias, **options)
        if (weight := weight_of(linear)) is not None:
            out = native.projection(x, weight, bias, **options)
            if out is not None:
                return out
    x = linear(x if norm is None else norm(x))
    x = x if activation is None else activation(x)
    return x if residual is None else residual + x


def score(hidden: mx.array, embedding: nn.Module) -> mx.array:
    """The logits of every row of an embedding, (..., dims) → (..., rows)."""
    weight = weight_of(embedding)
    logits = None if weight is None else native.projection(hidden, weight)
    return embedding.as_linear(hidden) if logits is None else logits


class _Options(TypedDict):
    norm: kernels.Norm | None
    activation: kernels.Activation | None
    residual: mx.array | None


def norm_of(norm: nn.LayerNorm) -> kernels.Norm:
    """A layer norm as kernels and library take it."""
    return kernels.Norm(norm.weight, norm.bias, norm.eps)


def kernel_norm(norm: nn.LayerNorm | None) -> kernels.Norm | None:
    """A layer norm, if there is one, as kernels and library take it."""
    return norm and norm_of(norm)


def weight_of(layer: nn.Module) -> mx.array | kernels.QuantizedArray | None:
    """What kernels and library take of a linear layer or a table; None of one with more to it."""
    if type(layer) in (nn.Linear, nn.Embedding):
        return layer.weight
    if type(layer) in (nn.QuantizedLinear, nn.QuantizedEmbedding) and layer.mode == "affine":
        return kernels.QuantizedArray(
            layer.weight, layer.scales, layer.biases, layer.group_size, layer.bits
        )
    return None


_OPERATIONS = {
    nn.Linear: kernels.PROJECTION,
    nn.QuantizedLinear: kernels.QUANTIZED_PROJECTION,
    nn.Embedding: kernels.EMBEDDING,
    nn.QuantizedEmbedding: kernels.EMBEDDING,
}


def kernel_weight(layer: nn.Module) -> mx.array | kernels.QuantizedArray | None:
    """What the kernels take, or None where none of them is to run or the layer is another."""
    operation = _OPERATIONS.get(type(layer))
    return None if operation is None or operation.backend(True) == "ops" else weight_of(layer)
