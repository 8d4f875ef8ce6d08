"""A pre-norm decoder's layers on the CPU, some tokens at a time, in one call of `native/`.

Between a token's products there is so little to do that MLX's dispatching of it takes longer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ..kernels import Activation, Norm
from . import native
from .cache import GROWTH, KeyValueCache
from .native import Addresses, Linear, LinearStruct, NormStruct, linear_struct, norm_struct
from .projection import norm_of, weight_of
from .transformer import CrossAttention, FeedForward, SelfAttention


class NativeLayer(NamedTuple):
    """The parameters of a layer; of one that attends to no source, those are None."""

    attention_norm: Norm
    query_key_value: Linear
    output: Linear
    source_norm: Norm | None
    source_query: Linear | None
    source_output: Linear | None
    feed_forward_norm: Norm
    up: Linear
    down: Linear

    @classmethod
    def of(
        cls,
        attention_norm: nn.LayerNorm,
        attention: SelfAttention,
        feed_forward_norm: nn.LayerNorm,
        feed_forward: FeedForward,
        *,
        source_norm: nn.LayerNorm | None = None,
        source_attention: CrossAttention | None = None,
    ) -> NativeLayer:
        """Of a layer's parts."""
        return cls(
            norm_of(attention_norm),
            _linear(attention.query_key_value),
            _linear(attention.output),
            None if source_norm is None else norm_of(source_norm),
            None if source_attention is None else _linear(source_attention.query),
            None if source_attention is None else _linear(source_attention.output),
            norm_of(feed_forward_norm),
            _linear(feed_forward.up),
            _linear(feed_forward.down),
        )

    def fits(self) -> bool:
        """Whether the library computes it."""
        return all(
            part.fits() if isinstance(part, Linear) else native.serves(part.weight, part.bias)
            for part in self
            if part is not None
        )


class NativeDecoder:
    """Layers, and the norms that follow them; `make` makes them where the library computes them.

    Args:
        layers, norms: that the library computes.
        activation: of the feed-forward layers.
        num_heads: of the attention.
        sources: keys and values of what each layer attends to besides, where it does: two arrays
            (1, num_heads, source_length, head_dims).

    Raises:
        ValueError: an array stands for others, in a function that MLX compiles or exports.
    """

    def __init__(
        self,
        layers: Sequence[NativeLayer],
        norms: Sequence[Norm],
        activation: Activation,
        num_heads: int,
        sources: Sequence[tuple[mx.array, mx.array]] = (),
    ):
        self._at = Addresses()
        self._layers = (_Layer * len(layers))(*(_layer(self._at, layer) for layer in layers))
        self._norms = (NormStruct * len(norms))(*(norm_struct(self._at, norm) for norm in norms))
        self._activation, self._heads = native.ACTIVATIONS[activation], num_heads
        self._sources = (_Memory * len(sources))(
            *(_Memory(self._at(keys), self._at(values)) for keys, values in sources)
        )
        self._source_length = sources[0][0].shape[2] if sources else 0

    @classmethod
    def make(
        cls,
        layers: Sequence[NativeLayer],
        norms: Sequence[nn.LayerNorm],
        activation: Activation,
        num_heads: int,
        sources: Sequence[tuple[mx.array, mx.array]] = (),
    ) -> NativeDecoder | None:
        """As the class, or None where the library does not compute it."""
        following = [norm_of(norm) for norm in norms]
        arrays = [x for norm in following for x in (norm.weight, norm.bias)]
        arrays += [x for source in sources for x in source]
        if not native.serves(*arrays) or not all(layer.fits() for layer in layers):
            return None
        return cls(layers, following, activation, num_heads, sources)

    def extend(
        self, x: mx.array, caches: Sequence[KeyValueCache]
    ) -> tuple[mx.array, list[KeyValueCache]]:
        """Read tokens that follow those of the caches, and each other.

        Args:
            x: embeddings (1, tokens, dims).
            caches: each layer's, equally long, in fp32.

        Returns:
            States (1, tokens, dims), and the caches that hold these tokens too.

        Raises:
            ValueError: as for the decoder.
        """
        arrays = [cache.keys_values for cache in caches]
        two, _, heads, capacity, dims = arrays[0].shape
        mx.eval(arrays)
        at, before = Addresses(), []
        for array in arrays:
            keys = at(array).value or 0
            before.append(_Memory(keys, keys + array.nbytes // 2))
        new = np.empty((len(caches), two, 1, heads, x.shape[1], dims), np.float32)
        states = self._read(
            x, (_Memory * len(before))(*before), caches[0].length, capacity, new, 0, x.shape[1]
        )
        del at  # the caches can be extended where they lie only if nobody else looks at them
        extended = [cache.extend(mx.array(fresh)) for cache, fresh in zip(caches, new, strict=True)]
        return states, extended

    def _read(
        self,
        x: mx.array,
        before: ctypes.Array[_Memory],
        length: int,
        capacity: int,
        new: np.ndarray,
        new_at: int,
        wanted: int,
    ) -> mx.array:
        """The states of the `wanted` last tokens (1, wanted, dims).

        Args:
            new: (…, new_capacity, head_dims), that gets keys and values from `new_at` on.
        """
        states = np.array(x)
        at = Addresses()
        passage = _Passage(
            x.shape[1],
            wanted,
            length,
            capacity,
            before,
            self._source_length,
            self._sources if self._source_length else None,
            at(new),
            new.shape[-2],
            new_at,
        )
        native.call(
            "decode",
            self._layers,
            len(self._layers),
            self._norms,
            len(self._norms),
            self._heads,
            self._activation,
            ctypes.byref(passage),
            states,
        )
        return mx.array(states[:, -wanted:])


class NativeReader:
    """A decoder that reads one text, in a cache of its own that is written where it lies.

    Args:
        decoder: without a source.
        keys_values: of the tokens before, (2, 1, num_heads, tokens, head_dims) for each layer.
    """

    def __init__(self, decoder: NativeDecoder, keys_values: Sequence[mx.array]):
        self._decoder = decoder
        arrays = [np.array(array[:, 0], copy=False) for array in keys_values]
        self._length = arrays[0].shape[2]
        self._make_room(arrays, GROWTH)

    def __call__(self, x: mx.array) -> mx.array:
        """Embeddings of the next tokens (1, tokens, dims) → the last one's state (1, 1, dims)."""
        tokens = x.shape[1]
        if self._length + tokens > self._cache.shape[3]:
            self._make_room(self._cache, tokens + GROWTH)
        capacity = self._cache.shape[3]
        state = self._decoder._read(
            x, self._memories, self._length, capacity, self._cache, self._length, 1
        )
        self._length += tokens
        return state

    def _make_room(self, cached: Sequence[np.ndarray] | np.ndarray, more: int) -> None:
        """Have (layers, 2, num_heads, capacity, head_dims) with what is there, and room."""
        two, heads, _, dims = cached[0].shape
        shape = (len(cached), two, heads, self._length + more, dims)
        self._cache = np.empty(shape, np.float32)
        for layer, array in zip(self._cache, cached, strict=True):
            layer[:, :, : self._length] = array[:, :, : self._length]
        at = Addresses()
        self._memories = (_Memory * len(cached))(
            *(_Memory(at(keys), at(values)) for keys, values in self._cache)
        )


class _Layer(ctypes.Structure):
    _fields_ = tuple(
        (name, NormStruct if name.endswith("norm") else LinearStruct)
        for name in NativeLayer._fields
    )


class _Memory(ctypes.Structure):
    _fields_ = (("keys", ctypes.c_void_p), ("values", ctypes.c_void_p))


class _Passage(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("tokens", "wanted", "length", "capacity")),
        ("before", ctypes.POINTER(_Memory)),
        ("source_length", ctypes.c_int),
        ("source", ctypes.POINTER(_Memory)),
        ("new", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("new_capacity", "new_at")),
    )


def _linear(layer: nn.Module) -> Linear:
    return Linear(weight_of(layer), layer.get("bias"))


def _layer(at: Addresses, layer: NativeLayer) -> _Layer:
    filled = _Layer()
    for name, part in zip(layer._fields, layer, strict=True):
        if part is not None:
            make = linear_struct if isinstance(part, Linear) else norm_struct
            setattr(filled, name, make(at, part))
    return filled
