"""Kernels for Metal and CUDA, each with a reference in plain MLX that says what it computes.

    out = kernels.cross_attention(queries, keys, values, mask=mask)

A function dispatches by backend and shape, its twin `..._ops` is the reference. A kernel is taken
by default only where a benchmark has shown that it wins; `use` forces one or the other, and
`python -m mlx_speak.kernels` lists what runs where and why.

A kernel is a body in a `.metal` file, beside a module of the same name that knows its shapes, grid
and limits. The body is that of the CUDA kernel too, under the prelude `cuda.h`.
"""

from .argmax import OPERATION as _ARGMAX
from .argmax import argmax, argmax_ops
from .conv_transpose1d import OPERATION as _CONV_TRANSPOSE1D
from .conv_transpose1d import conv_transpose1d, conv_transpose1d_ops
from .cross_attention import OPERATION as _CROSS_ATTENTION
from .cross_attention import QUANTIZED_OPERATION as _QUANTIZED_CROSS_ATTENTION
from .cross_attention import (
    cross_attention,
    cross_attention_backend,
    cross_attention_ops,
    quantized_cross_attention,
    quantized_cross_attention_ops,
)
from .decode_attention import OPERATION as _DECODE_ATTENTION
from .decode_attention import decode_attention, decode_attention_backend, decode_attention_ops
from .dispatch import Backend, BackendNotAvailableError, Choice, gpu, use
from .embedding import OPERATION as EMBEDDING
from .embedding import add_positions, embedding, embedding_ops
from .instance_norm import OPERATION as _INSTANCE_NORM
from .instance_norm import instance_norm, instance_norm_ops
from .istft import OPERATION as _ISTFT
from .istft import istft, istft_ops
from .lstm import OPERATION as _LSTM
from .lstm import lstm, lstm_ops
from .projection import OPERATION as PROJECTION
from .projection import QUANTIZED_OPERATION as QUANTIZED_PROJECTION
from .projection import Activation, Norm, projection, projection_ops
from .quantized import QuantizedArray
from .query_attention import OPERATION as _QUERY_ATTENTION
from .query_attention import query_attention, query_attention_backend, query_attention_ops
from .residual_layer_norm import OPERATION as _RESIDUAL_LAYER_NORM
from .residual_layer_norm import residual_layer_norm, residual_layer_norm_ops
from .top_k import OPERATION as _TOP_K
from .top_k import top_k, top_k_ops

OPERATIONS = (
    _DECODE_ATTENTION,
    _CROSS_ATTENTION,
    _QUANTIZED_CROSS_ATTENTION,
    _QUERY_ATTENTION,
    EMBEDDING,
    PROJECTION,
    QUANTIZED_PROJECTION,
    _RESIDUAL_LAYER_NORM,
    _ARGMAX,
    _TOP_K,
    _LSTM,
    _INSTANCE_NORM,
    _CONV_TRANSPOSE1D,
    _ISTFT,
)
"""What this room has, for the listing and the tests."""

__all__ = [
    "EMBEDDING",
    "OPERATIONS",
    "PROJECTION",
    "QUANTIZED_PROJECTION",
    "Activation",
    "Backend",
    "BackendNotAvailableError",
    "Choice",
    "Norm",
    "QuantizedArray",
    "add_positions",
    "argmax",
    "argmax_ops",
    "conv_transpose1d",
    "conv_transpose1d_ops",
    "cross_attention",
    "cross_attention_backend",
    "cross_attention_ops",
    "decode_attention",
    "decode_attention_backend",
    "decode_attention_ops",
    "embedding",
    "embedding_ops",
    "gpu",
    "instance_norm",
    "instance_norm_ops",
    "istft",
    "istft_ops",
    "lstm",
    "lstm_ops",
    "projection",
    "projection_ops",
    "quantized_cross_attention",
    "quantized_cross_attention_ops",
    "query_attention",
    "query_attention_backend",
    "query_attention_ops",
    "residual_layer_norm",
    "residual_layer_norm_ops",
    "top_k",
    "top_k_ops",
    "use",
]
