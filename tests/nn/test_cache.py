"""Caches are values: whatever is done with one, every other still holds what it held."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_speak.nn.cache import GROWTH, KeyValueCache

BATCH, HEADS, DIMS = 2, 3, 4

Tokens = tuple[mx.array, mx.array]


def tokens(count: int, seed: int = 0) -> Tokens:
    """Keys and values (BATCH, HEADS, count, DIMS)."""
    keys = mx.random.split(mx.random.key(seed), 2)
    shape = (BATCH, HEADS, count, DIMS)
    return mx.random.normal(shape, key=keys[0]), mx.random.normal(shape, key=keys[1])


def empty() -> KeyValueCache:
    return KeyValueCache.empty(BATCH, HEADS, DIMS, mx.float32)


def assert_holds(cache: KeyValueCache, expected: list[np.ndarray]) -> None:
    assert cache.length == expected[0].shape[2]
    for found, held in zip(cache.filled, expected, strict=True):
        assert np.array_equal(np.array(found), held)


operations = st.lists(
    st.tuples(
        st.sampled_from(["extend", "truncate", "select"]),
        st.integers(0, 7),  # of which cache
        st.integers(0, 2 * GROWTH),  # by or to how much
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(operations, st.booleans())
def test_any_operations_on_any_of_the_caches(steps: list, at_once: bool) -> None:
    """Against NumPy arrays that are copied; evaluated after each step, or all in one graph."""
    nothing = np.zeros((BATCH, HEADS, 0, DIMS), np.float32)
    caches, expected = [empty()], [[nothing, nothing]]
    for seed, (operation, which, amount) in enumerate(steps):
        which %= len(caches)
        cache, held = caches[which], expected[which]
        if operation == "extend":
            keys, values = tokens(max(1, amount), seed)
            if cache.keys_values.shape[1] != BATCH:
                keys, values = keys[:1], values[:1]
            caches.append(cache.extend(mx.stack([keys, values])))
            pairs = zip(held, (keys, values), strict=True)
            expected.append([np.concatenate([x, np.array(y)], axis=2) for x, y in pairs])
        elif operation == "truncate":
            length = min(amount, cache.length)
            caches.append(cache.truncate(length))
            expected.append([x[:, :, :length] for x in held])
        else:
            caches.append(cache.select(mx.array([cache.keys_values.shape[1] - 1])))
            expected.append([x[-1:] for x in held])
        if not at_once:
            mx.eval(caches[-1].keys_values)
    for cache, held in zip(caches, expected, strict=True):
        assert_holds(cache, held)


def test_few_tokens_find_the_arrays_full() -> None:
    cache = empty()
    capacities = []
    for seed in range(2 * GROWTH + 1):
        cache = cache.extend(mx.stack(tokens(1, seed)))
        capacities.append(cache.keys_values.shape[3])
    assert sorted(set(capacities)) == [GROWTH, 2 * GROWTH, 3 * GROWTH]
    assert empty().extend(mx.stack(tokens(GROWTH + 1))).keys_values.shape[3] == 2 * GROWTH


def test_nothing_is_copied_while_nobody_else_looks() -> None:
    """As in decoding: each step lets go of the cache before it is evaluated."""
    cache = empty().extend(mx.stack(tokens(1)))
    mx.eval(cache.keys_values)

    def address() -> int:
        return np.asarray(cache.keys_values).__array_interface__["data"][0]

    at = address()
    for seed in range(GROWTH - 1):
        cache = cache.extend(mx.stack(tokens(1, seed)))
        mx.eval(cache.keys_values)
    assert address() == at


@pytest.mark.parametrize("length", [-1, 6])
def test_what_was_never_read_cannot_be_kept(length: int) -> None:
    with pytest.raises(ValueError, match="5 tokens"):
        empty().extend(mx.stack(tokens(5))).truncate(length)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_it_stays_in_its_dtype(dtype: mx.Dtype) -> None:
    """float32 keys in a float16 cache would have every step copy all of it."""
    cache = KeyValueCache.empty(1, HEADS, DIMS, dtype)
    keys_values = mx.ones((2, 1, HEADS, 1, DIMS), dtype)
    assert cache.extend(keys_values).keys_values.dtype == dtype
