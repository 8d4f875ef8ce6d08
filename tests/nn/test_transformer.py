"""The sublayers against attention written out in NumPy, in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from mlx_speak.nn.attention import attend, merge_heads, split_heads
from mlx_speak.nn.cache import KeyValueCache
from mlx_speak.nn.transformer import CrossAttention, FeedForward, SelfAttention

DIMS, HEADS, LENGTH = 32, 4, 7

# float32 sums of 32 products of numbers around 1.
TOLERANCE = 2e-6


def plain(x: np.ndarray, layer: object) -> np.ndarray:
    """A linear layer."""
    return x @ np.array(layer.weight, np.float64).T + np.array(layer.bias, np.float64)


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Over (batch, length, dims), head by head; the mask is (query_length, key_length)."""
    out = np.zeros_like(q)
    for head in np.split(np.arange(DIMS), HEADS):
        scores = q[..., head] @ k[..., head].swapaxes(1, 2) / np.sqrt(len(head))
        weights = np.exp(np.where(mask, scores, -np.inf))
        out[..., head] = weights / weights.sum(-1, keepdims=True) @ v[..., head]
    return out


def self_attention(layer: SelfAttention, x: mx.array, mask: np.ndarray) -> np.ndarray:
    projected = plain(np.array(x, np.float64), layer.query_key_value)
    return plain(attention(*np.split(projected, 3, axis=-1), mask), layer.output)


def close(found: mx.array, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.array(found), expected, rtol=0, atol=TOLERANCE)


@pytest.fixture
def x() -> mx.array:
    return mx.random.normal((2, LENGTH, DIMS))


@pytest.fixture
def layer() -> SelfAttention:
    layer = SelfAttention(DIMS, HEADS)
    for linear in (layer.query_key_value, layer.output):
        linear.bias = mx.random.normal(linear.bias.shape)
    return layer


def no_cache(batch: int = 2) -> KeyValueCache:
    return KeyValueCache.empty(batch, HEADS, DIMS // HEADS, mx.float32)


CAUSAL = np.tril(np.ones((LENGTH, LENGTH), bool))


def test_self_attention(layer: SelfAttention, x: mx.array) -> None:
    mask = np.array(mx.random.bernoulli(0.5, (LENGTH, LENGTH))) | np.eye(LENGTH, dtype=bool)
    close(layer(x), self_attention(layer, x, np.ones((LENGTH, LENGTH), bool)))
    close(layer(x, mx.array(mask)), self_attention(layer, x, mask))
    close(layer(x, "causal"), self_attention(layer, x, CAUSAL))


@pytest.mark.parametrize("lengths", [[7], [1] * 7, [3, 1, 3], [1, 6]])
def test_extending_sees_what_came_before(
    layer: SelfAttention, x: mx.array, lengths: list[int]
) -> None:
    cache, outs = no_cache(), []
    for length in lengths:
        start = cache.length
        out, cache = layer.extend(x[:, start : start + length], cache, "causal")
        outs.append(out)
    assert cache.length == LENGTH
    close(mx.concatenate(outs, axis=1), self_attention(layer, x, CAUSAL))


def test_extending_with_a_mask(layer: SelfAttention, x: mx.array) -> None:
    """Three tokens, then four that see some slots each: the rows of an attention without cache."""
    mask = np.array(mx.random.bernoulli(0.5, (4, LENGTH)))
    mask[:, 3:] |= np.eye(4, dtype=bool)
    _, cache = layer.extend(x[:, :3], no_cache(), "causal")
    out, _ = layer.extend(x[:, 3:], cache, mx.array(mask)[None, None])
    close(out, self_attention(layer, x, np.concatenate([CAUSAL[:3], mask]))[:, 3:])


def test_cross_attention(x: mx.array) -> None:
    layer = CrossAttention(DIMS, HEADS)
    encoded = mx.random.normal((2, 5, DIMS))
    mask = np.array([True, False, True, True, False])
    keys, values = layer.keys_values(encoded)
    assert keys.shape == values.shape == (2, HEADS, 5, DIMS // HEADS)
    projected = np.split(plain(np.array(encoded, np.float64), layer.key_value), 2, axis=-1)
    queries = plain(np.array(x, np.float64), layer.query)
    for given, written in ((None, np.ones(5, bool)), (mx.array(mask), mask)):
        expected = plain(attention(queries, *projected, written), layer.output)
        close(layer(x, keys, values, given), expected)


def test_feed_forward(x: mx.array) -> None:
    layer = FeedForward(DIMS, 64)
    hidden = np.maximum(plain(np.array(x, np.float64), layer.up), 0)
    close(layer(x), plain(hidden, layer.down))


def test_heads_split_and_merge(x: mx.array) -> None:
    heads = split_heads(x, HEADS)
    assert heads.shape == (2, HEADS, LENGTH, DIMS // HEADS)
    assert mx.array_equal(heads[1, 2, 3], x[1, 3, 16:24])
    assert mx.array_equal(merge_heads(heads), x)


@pytest.mark.parametrize("query_length", [1, 3, 7])
def test_causal_means_that_the_last_query_sees_all(query_length: int, x: mx.array) -> None:
    heads = split_heads(x, HEADS)
    found = attend(heads[:, :, -query_length:], heads, heads, mask="causal")
    whole = attend(heads, heads, heads, mask=mx.array(CAUSAL))
    assert mx.allclose(found, whole[:, :, -query_length:], rtol=0, atol=TOLERANCE)
