"""Calls of every kernel, each with its result in float64.

The references are NumPy's, written from the definitions: they share nothing with the kernels, nor
with the operations in plain MLX, and both are compared with them. A kernel has its row in every
table here, and the tests go by these tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mlx.core as mx

from mlx_speak import kernels

from .attention import (
    attention_cases,
    cross_attention,
    decode_attention,
    quantized_attention_cases,
    quantized_cross_attention,
    query_attention,
    query_attention_cases,
)
from .best import argmax, argmax_cases, top_k, top_k_cases
from .case import DTYPES, NAMES, Case, float64, normal
from .convolution import conv_transpose1d, conv_transpose1d_cases
from .instance import instance_norm, instance_norm_cases
from .norm import norm_cases, residual_layer_norm
from .projection import projection, projection_cases, quantized_cases, quantized_projection
from .recurrence import lstm, lstm_cases
from .spectral import istft, istft_cases
from .table import embedding, embedding_cases

SETS: dict[str, Callable[[], Iterator[Case]]] = {
    "decode_attention": lambda: attention_cases(decode_attention),
    "cross_attention": lambda: attention_cases(cross_attention),
    "quantized_cross_attention": quantized_attention_cases,
    "query_attention": query_attention_cases,
    "embedding": embedding_cases,
    "projection": projection_cases,
    "quantized_projection": quantized_cases,
    "residual_layer_norm": norm_cases,
    "argmax": argmax_cases,
    "top_k": top_k_cases,
    "lstm": lstm_cases,
    "instance_norm": instance_norm_cases,
    "conv_transpose1d": conv_transpose1d_cases,
    "istft": istft_cases,
}

SMALL: dict[str, list[Case]] = {
    "decode_attention": [
        decode_attention(21, tokens=3),
        decode_attention(21, mx.bfloat16, tokens=3, heads=1, masked=True),
    ],
    "cross_attention": [
        cross_attention(21, tokens=3, masked=True),
        cross_attention(5, mx.float16, heads=1),
    ],
    "quantized_cross_attention": [
        quantized_cross_attention(21, tokens=3, masked=True),
        quantized_cross_attention(5, mx.bfloat16, bits=4, group_size=64, dims=128),
    ],
    "query_attention": [
        query_attention(21, tokens=3, batch=2, masked=True),
        query_attention(5, mx.bfloat16, bits=8, tokens=2, inputs=100, dims=128, bias=False),
    ],
    "embedding": [
        embedding(4, dims=300, batch=2),
        embedding(5, mx.bfloat16, bits=4, dims=64, alike=True),
    ],
    "projection": [
        projection(70, rows=3, norm=True, activation="relu"),
        projection(33, mx.bfloat16, rows=2, activation="gelu_tanh", residual=True),
    ],
    "quantized_projection": [
        quantized_projection(300, rows=3, norm=True, activation="relu", residual=True),
        quantized_projection(64, mx.bfloat16, rows=2, bits=4, activation="gelu_tanh", bias=False),
    ],
    "residual_layer_norm": [residual_layer_norm(300), residual_layer_norm(33, mx.bfloat16)],
    "argmax": [argmax(4500), argmax(4500, mx.float16, rows=1, peak=4095)],
    "top_k": [top_k(4100, last=True), top_k(40, mx.float16, k=33)],
    "lstm": [lstm(4, batch=2), lstm(3, mx.bfloat16, hidden=33)],
    "instance_norm": [
        instance_norm(520, channels=3),
        instance_norm(20, mx.bfloat16, channels=33, snake=False),
        instance_norm(20, batch=2, channels=33),
    ],
    "conv_transpose1d": [
        conv_transpose1d(3, channels=17, out_channels=19, batch=2),
        conv_transpose1d(3, mx.bfloat16, kernel_size=7, stride=3),
    ],
    "istft": [istft(34, batch=2), istft(3, mx.bfloat16, n_fft=12, hop_length=4, polar=False)],
}
"""For the sanitizers, which are slow, and for planted bugs: odd sizes, several threadgroups, both
variants of an optional mask, one fp32 and one 16-bit dtype each."""

LENGTHS: dict[str, Callable[..., Case]] = {
    "decode_attention": decode_attention,
    "cross_attention": cross_attention,
    "quantized_cross_attention": quantized_cross_attention,
    "query_attention": query_attention,
    "embedding": embedding,
    "projection": projection,
    "quantized_projection": quantized_projection,
    "residual_layer_norm": residual_layer_norm,
    "argmax": argmax,
    "top_k": top_k,
    "lstm": lstm,
    "instance_norm": instance_norm,
    "conv_transpose1d": conv_transpose1d,
    "istft": istft,
}
"""A case of any length and dtype, the first two arguments; no length may need a compilation."""

assert (
    set(SETS) == set(SMALL) == set(LENGTHS) == {operation.name for operation in kernels.OPERATIONS}
)

__all__ = ["DTYPES", "LENGTHS", "NAMES", "SETS", "SMALL", "Case", "float64", "normal"]
