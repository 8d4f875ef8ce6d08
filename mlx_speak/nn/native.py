"""What the compiled library of `native/` computes in MLX's place on the CPU, at once.

MLX dispatches a step's operations one by one, and multiplies by quantised weights five times slower
than by those of fp32. The library computes on numbers that are there, so what it is given is
evaluated. It is made for inference: what it returns has no gradient, and where MLX is to compile or
export a function, `kernels.use("ops")` keeps it out.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from .. import blas
from ..kernels import Activation, Norm, QuantizedArray, dispatch
from .cache import GROWTH

_WORTHWHILE = 1 << 20
"""fp32 weights from which on a call costs less than MLX's dispatches."""
_ACTIVATIONS: dict[Activation | None, int] = {None: 0, "relu": 1, "gelu_tanh": 2}


def serves(*arrays: mx.array | None) -> bool:
    """Whether the library is there, and for these arrays: in fp32, on the CPU."""
    if blas.library() is None or dispatch.gpu() is not None or not dispatch.is_auto():
        return False
    return all(array is None or array.dtype == mx.float32 for array in arrays)


def call(name: str, *arguments: Any) -> None:
    """Call a function of the library.

    Args:
        name: of the function, without `mlx_speak_`.
        arguments: MLX arrays, which are evaluated; NumPy arrays, contiguous where they are results;
            None for an array that is not there; whatever else `ctypes` passes.

    Raises:
        MemoryError: there is none for what it needs.
    """
    at = Addresses()
    passed = [at(x) if isinstance(x, mx.array | np.ndarray) else x for x in arguments]
    if getattr(blas.library(), f"mlx_speak_{name}")(*passed):
        raise MemoryError(f"no memory for {name}")


class Addresses:
    """Where the numbers of arrays lie for as long as this is there, in rows: else they are copied.

    Raises:
        ValueError: an array stands for others, in a function that MLX compiles or exports.
    """

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []

    def __call__(self, array: mx.array | np.ndarray | None) -> ctypes.c_void_p:
        """Of one array; null for none."""
        if array is None:
            return ctypes.c_void_p()
        numbers = np.ascontiguousarray(np.array(array, copy=False))
        self._held.append(numbers)
        return ctypes.c_void_p(numbers.__array_interface__["data"][0])


class Linear(NamedTuple):
    """The parameters of a linear layer."""

    weight: mx.array | QuantizedArray | None
    """(outputs, inputs); None if the layer has more to it."""
    bias: mx.array | None = None
    """(outputs,)."""

    def fits(self) -> bool:
        """Whether the library multiplies by it."""
        if isinstance(self.weight, QuantizedArray):
            return self.weight.fits(mx.float32) and serves(self.bias)
        return self.weight is not None and serves(self.weight, self.bias)


def projection(
    x: mx.array,
    weight: mx.array | QuantizedArray,
    bias: mx.array | None = None,
    *,
    norm: Norm | None = None,
    activation: Activation | None = None,
    residual: mx.array | None = None,
) -> mx.array | None:
    """As `kernels.projection`; None if it is not for the library.

    Quantised weights are; those of fp32 where they are many and `x` is a single row: for more rows
    MLX's dispatches do not count.
    """
    linear = Linear(weight, bias)
    outputs, inputs = weight.shape
    if not isinstance(weight, QuantizedArray) and (x.size != inputs or weight.size < _WORTHWHILE):
        return None
    beside = (norm.weight, norm.bias) if norm else ()
    if not x.size or not linear.fits() or not serves(x, residual, *beside):
        return None
    at = Addresses()
    out = np.empty((*x.shape[:-1], outputs), np.float32)
    try:
        layer = ctypes.byref(_linear(at, linear))
        before = norm and ctypes.byref(_norm(at, norm))
        arguments = (layer, x.size // inputs, at(x), before, _ACTIVATIONS[activation], at(residual))
    except ValueError:
        return None
    call("projection", *arguments, out)
    return mx.array(out)


def attention(
    queries: mx.array,
    cached: mx.array | tuple[mx.array, mx.array],
    length: int,
    own: mx.array | None = None,
) -> mx.array | None:
    """A single token's attention; None if it is not for the library.

    Args:
        queries: (1, num_heads, 1, head_dims).
        cached: keys and values (2, 1, num_heads, capacity, head_dims), in one array or in two.
        length: how many of them are there.
        own: the token's, (2, 1, num_heads, 1, head_dims), if it attends to itself too.

    Returns:
        (1, num_heads, 1, head_dims).
    """
    batch, heads, tokens, dims = queries.shape
    arrays = cached if isinstance(cached, tuple) else (cached,)
    if batch * tokens != 1 or not serves(queries, *arrays, own):
        return None
    try:
        keys, values = cached if isinstance(cached, tuple) else np.array(cached, copy=False)
        key, value = (None, None) if own is None else np.array(own, copy=False)
        out = np.empty(queries.shape, np.float32)
        sizes = (heads, dims, length, keys.shape[2])
        call("attend", *sizes, queries, keys, values, key, value, out)
    except ValueError:
        return None
    return mx.array(out)


class DecoderLayer(NamedTuple):
    """The parameters of a pre-norm layer."""

    attention_norm: Norm
    query_key_value: Linear
    output: Linear
    feed_forward_norm: Norm
    up: Linear
    down: Linear

    def fits(self) -> bool:
        """Whether the library computes it."""
        norms = (self.attention_norm, self.feed_forward_norm)
        linears = (self.query_key_value, self.output, self.up, self.down)
        return all(linear.fits() for linear in linears) and all(
            serves(norm.weight, norm.bias) for norm in norms
        )


class Decoder:
    """A decoder that reads tokens, some at a time, each time in one call of the library.

    Args:
        layers: which all fit.
        norms: that follow them, one after the other, in fp32.
        activation: of the feed-forward layers.
        num_heads: of the attention.
        keys_values: of the tokens before, (2, 1, num_heads, tokens, head_dims) for each layer.
    """

    def __init__(
        self,
        layers: Sequence[DecoderLayer],
        norms: Sequence[Norm],
        activation: Activation,
        num_heads: int,
        keys_values: Sequence[mx.array],
    ):
        self._at = Addresses()
        self._layers = (_Layer * len(layers))(*(_layer(self._at, layer) for layer in layers))
        self._norms = (_Norm * len(norms))(*(_norm(self._at, norm) for norm in norms))
        self._activation, self._heads = _ACTIVATIONS[activation], num_heads
        arrays = [np.array(array[:, 0], copy=False) for array in keys_values]
        self._length = arrays[0].shape[2]
        self._cache = self._space(arrays, GROWTH)

    def __call__(self, x: mx.array) -> mx.array:
        """Embeddings of the next tokens (1, tokens, dims) → the last one's state (1, 1, dims)."""
        tokens = x.shape[1]
        if self._length + tokens > self._cache.shape[3]:
            self._cache = self._space(self._cache, tokens + GROWTH)
        states = np.array(x)
        call(
            "decode",
            self._layers,
            len(self._layers),
            self._norms,
            len(self._norms),
            self._heads,
            self._activation,
            self._cache,
            self._cache.shape[3],
            self._length,
            tokens,
            states,
        )
        self._length += tokens
        return mx.array(states[:, -1:])

    def _space(self, cached: Sequence[np.ndarray] | np.ndarray, more: int) -> np.ndarray:
        """(layers, 2, num_heads, capacity, head_dims) with what is there and room for more."""
        two, heads, _, dims = cached[0].shape
        capacity = self._length + more
        cache = np.empty((len(cached), two, heads, capacity, dims), np.float32)
        for layer, array in zip(cache, cached, strict=True):
            layer[:, :, : self._length] = array[:, :, : self._length]
        return cache


class _Linear(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("inputs", "outputs", "bits", "group")),
        *((name, ctypes.c_void_p) for name in ("weight", "scales", "offsets", "bias")),
    )


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("eps", ctypes.c_float))


class _Layer(ctypes.Structure):
    _fields_ = tuple(
        (name, _Norm if name.endswith("norm") else _Linear) for name in DecoderLayer._fields
    )


def _linear(at: Addresses, linear: Linear) -> _Linear:
    assert linear.weight is not None
    outputs, inputs = linear.weight.shape
    if isinstance(linear.weight, QuantizedArray):
        sizes = (linear.weight.bits, linear.weight.group_size)
        arrays: tuple[mx.array | None, ...] = linear.weight.arrays
    else:
        sizes, arrays = (0, 0), (linear.weight, None, None)
    return _Linear(inputs, outputs, *sizes, *map(at, arrays), at(linear.bias))


def _norm(at: Addresses, norm: Norm) -> _Norm:
    return _Norm(at(norm.weight), at(norm.bias), norm.eps)


def _layer(at: Addresses, layer: DecoderLayer) -> _Layer:
    return _Layer(*(_norm(at, x) if isinstance(x, Norm) else _linear(at, x) for x in layer))
