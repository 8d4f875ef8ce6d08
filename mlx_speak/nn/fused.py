"""The pointwise work between matrix products, in as few operations as MLX allows.

On the CPU every operation costs about 3 µs to dispatch, and `mx.fast.layer_norm` is a dozen of
them: in a decoder with vectors of a few hundred numbers that is most of the time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import mlx.core as mx
import mlx.nn as nn

from .. import kernels
from ..kernels import dispatch

Function = TypeVar("Function", bound=Callable)


def fuse(function: Function) -> Function:
    """Compile a function of arrays for any shapes, as a decorator.

    The function must not look at shapes: it is traced once for each number of dimensions.
    """
    compiled = mx.compile(function, shapeless=True)

    @functools.wraps(function)
    def call(*arrays):
        return (compiled if compiler_works() else function)(*arrays)

    return call  # type: ignore[return-value]


def add_norm(x: mx.array, y: mx.array, norm: nn.LayerNorm) -> mx.array:
    """norm(x + y), the residual connection of a post-norm transformer.

    Args:
        x, y: (..., dims).
        norm: with weight and bias.
    """
    if dispatch.gpu() is None:
        return _add_norm(x, y, norm.weight, norm.bias, mx.array(norm.eps))
    return kernels.residual_layer_norm(x, y, norm.weight, norm.bias, eps=norm.eps)[1]


@fuse
def _add_norm(x: mx.array, y: mx.array, weight: mx.array, bias: mx.array, eps: mx.array):
    x = (x + y).astype(mx.float32)
    x = x - mx.mean(x, axis=-1, keepdims=True)
    variance = mx.mean(x * x, axis=-1, keepdims=True)
    return (x * mx.rsqrt(variance + eps)).astype(weight.dtype) * weight + bias


@functools.cache
def compiler_works() -> bool:
    """Whether compiled functions run.

    Without g++ MLX runs the operations on the CPU one by one of its own accord, but with a broken
    one, or with a temporary folder that cannot be written, it raises at the evaluation.
    """
    try:
        mx.eval(mx.compile(lambda x: mx.exp(x) + 1)(mx.zeros((8,))))
    except RuntimeError:
        return False
    return True
