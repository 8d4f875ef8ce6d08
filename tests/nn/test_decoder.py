"""Decoders in one call of the compiled library: what plain MLX computes, layer by layer."""

from __future__ import annotations

import sys
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from support import needs

from mlx_speak import blas, kernels
from mlx_speak.nn import decoder
from mlx_speak.speech.xtts.gpt import GPT, Context
from mlx_speak.translation.nllb_model import NLLB, Caches, Memory, NLLBConfig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only MLX on Linux needs it")

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _library() -> None:
    needs(blas.library() is not None, "a C compiler and an OpenBLAS")


def disturb(norms: list[nn.LayerNorm]) -> None:
    """Norms of zeros and ones would hide faults."""
    for norm in norms:
        norm.weight, norm.bias = mx.random.normal((128,)), mx.random.normal((128,))


# XTTS's GPT: a text, then one code after the other, in a cache that is written where it lies.

TEXT = mx.array([[5, 6, 7, 8]])


START = mx.array([[1]])


def gpt(heads: int, bits: int | None) -> tuple[GPT, Context]:
    model = GPT(128, heads, 3, 20, 40, 12, 700)
    disturb([x for y in model.layers for x in (y.attention_norm, y.feed_forward_norm)])
    disturb([model.norm, model.final_norm])
    if bits:
        nn.quantize(model, 64, bits)
    return model, model.read(mx.random.normal((1, 5, 128)))


def plainly(model: GPT, context: Context) -> tuple[mx.array, Callable[[mx.array], mx.array]]:
    """As `GPT.begin`, without the library's decoder."""
    state, context = model.start(TEXT, START, context)
    return state, model._stepper(context)


@pytest.mark.parametrize("bits", [None, 8, 4])
@pytest.mark.parametrize("heads", [1, 2, 8, 16])
def test_steps_as_plain_mlx(called, heads: int, bits: int | None) -> None:
    mx.random.seed(heads)
    model, context = gpt(heads, bits)
    state, read = model.begin(TEXT, START, context)
    with kernels.use("ops"):
        expected, plain = plainly(model, context)
    # Three layers in fp32, in other orders of summation; states are of size 1.
    np.testing.assert_allclose(state, expected, rtol=0, atol=1e-5)
    for code in rng.integers(0, 40, 12).tolist():
        found = read(mx.array([[code]]))
        assert called[-1] == "decode"
        with kernels.use("ops"):
            expected = plain(mx.array([[code]]))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 2, 70, 200])
def test_texts_of_any_length(tokens: int) -> None:
    """Up to 64 rows are multiplied by ourselves, more by BLAS; one thread attends, or all."""
    mx.random.seed(tokens)
    model, context = gpt(4, None)
    model.text_positions = nn.Embedding(tokens, 128)
    text = mx.random.randint(0, 20, (1, tokens))
    expected, _ = model.start(text, mx.array([[1, 7, 3]]), context)
    state, _ = model.begin(text, mx.array([[1, 7, 3]]), context)
    np.testing.assert_allclose(state, expected[:, -1:], rtol=0, atol=1e-5)


def test_steps_past_the_cache_that_there_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "GROWTH", 3)
    model, context = gpt(4, None)
    (_, plain), (_, read) = plainly(model, context), model.begin(TEXT, START, context)
    for code in range(10):
        np.testing.assert_allclose(
            read(mx.array([[code]])), plain(mx.array([[code]])), rtol=0, atol=1e-5
        )


def test_texts_that_begin_alike_do_not_meet() -> None:
    model, context = gpt(4, None)
    (_, one), (_, other) = (model.begin(TEXT, START, context) for _ in range(2))
    alone = [np.array(one(mx.array([[code]]))) for code in (3, 4)]
    other(mx.array([[9]]))
    _, third = model.begin(TEXT, START, context)
    assert np.array_equal(third(mx.array([[3]])), alone[0])
    assert np.array_equal(third(mx.array([[4]])), alone[1])


def test_layers_of_another_kind_go_through_mlx(called) -> None:
    class Adapted(nn.Linear):
        """As an adapter would be: with more to it than its weight."""

        def __call__(self, x: mx.array) -> mx.array:
            return super().__call__(x) + 1

    model, context = gpt(4, None)
    up = model.layers[1].feed_forward.up
    adapted = Adapted(128, 512)
    adapted.update(up.parameters())
    model.layers[1].feed_forward.up = adapted
    expected, plain = plainly(model, context)
    state, read = model.begin(TEXT, START, context)
    assert np.array_equal(state, expected)
    assert np.array_equal(read(mx.array([[3]])), plain(mx.array([[3]])))
    assert "decode" not in called


# NLLB's decoder: any tokens, a source, and caches that stay as they were.


def nllb(heads: int, bits: int | None) -> NLLB:
    config = NLLBConfig(50, 128, 1, 3, heads, heads, 256, 384)
    model = NLLB(config)
    disturb([value for _, value in model.named_modules() if isinstance(value, nn.LayerNorm)])
    for _, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.bias = mx.random.normal(module.bias.shape)
    if bits:
        nn.quantize(model, 64, bits)
    return model


def remembered(model: NLLB, length: int) -> Memory:
    return model.remember(mx.random.normal((1, length, 128)))


def both(model: NLLB, memory: Memory, ids: list[int], caches: Caches) -> tuple[Caches, Caches]:
    """The caches after some more tokens, as the library extends them and as MLX does, whose states
    are alike."""
    tokens = mx.array([ids])
    found, extended = model.decode(tokens, memory, caches)
    with kernels.use("ops"):
        expected, plain = model.decode(tokens, memory, caches)
    # Three layers in fp32, in other orders of summation; states are of size 1, but normed by
    # weights of up to 4.
    np.testing.assert_allclose(found, expected, rtol=0, atol=4e-5)
    for one, other in zip(extended, plain, strict=True):
        assert one.length == other.length
        for cached, wanted in zip(one.filled, other.filled, strict=True):
            np.testing.assert_allclose(cached, wanted, rtol=0, atol=4e-5)
    return extended, plain


@pytest.mark.parametrize("bits", [None, 8, 4])
@pytest.mark.parametrize("heads", [1, 2, 16])
@pytest.mark.parametrize("source", [1, 33])
def test_targets_as_plain_mlx(called, heads: int, bits: int | None, source: int) -> None:
    model = nllb(heads, bits)
    memory = remembered(model, source)
    caches = model.initial_caches(1)
    for tokens in (2, 1, 1, 5, 1, 70, 1):
        caches, _ = both(model, memory, rng.integers(4, 50, tokens).tolist(), caches)
    assert called.count("decode") == 7


def test_a_cache_stays_as_it_was() -> None:
    """What is drafted is cut off again, and another continuation takes its place."""
    model = nllb(4, None)
    memory = remembered(model, 7)
    _, caches = model.decode(mx.array([[2, 9, 8, 7]]), memory, model.initial_caches(1))
    one, _ = both(model, memory, [11, 12], caches)
    other, _ = both(model, memory, [13], caches)
    again, _ = both(model, memory, [11, 12], [cache.truncate(4) for cache in one])
    both(model, memory, [14], other)
    for first, second in zip(one, again, strict=True):
        assert all(map(mx.array_equal, first.filled, second.filled))


def test_a_token_at_a_time_is_all_at_once() -> None:
    """To the last bit: what is verified together with others is what would come alone."""
    model = nllb(4, None)
    memory, ids = remembered(model, 7), rng.integers(4, 50, 30).tolist()
    whole, _ = model.decode(mx.array([ids]), memory, model.initial_caches(1))
    caches = model.initial_caches(1)
    for i, token in enumerate(ids):
        state, caches = model.decode(mx.array([[token]]), memory, caches)
        assert mx.array_equal(state[:, 0], whole[:, i])


@pytest.mark.parametrize("why", ["two sentences", "a mask", "half precision", "compiled", "forced"])
def test_where_no_decoder_of_the_library_serves(called, why: str) -> None:
    model = nllb(4, None)
    if why == "half precision":
        model.set_dtype(mx.bfloat16)
    count = 2 if why == "two sentences" else 1
    source = mx.random.normal((count, 7, 128)).astype(model.embedding.weight.dtype)
    mask = mx.ones((count, 7)) if why == "a mask" else None
    ids = mx.array(count * [[2, 9, 8]])

    def decode(source: mx.array) -> mx.array:
        memory = model.remember(source, mask)
        return model.decode(ids, memory, model.initial_caches(count))[0]

    expected = decode(source)
    if why == "compiled":
        called.clear()
        np.testing.assert_allclose(mx.compile(decode)(source), expected, rtol=0, atol=4e-5)
    elif why == "forced":
        called.clear()
        with kernels.use("ops"):
            np.testing.assert_allclose(decode(source), expected, rtol=0, atol=4e-5)
    assert "decode" not in called


def test_a_decoders_weights_may_be_replaced_between_sentences() -> None:
    model = nllb(4, None)
    source = mx.random.normal((1, 7, 128))
    both(model, model.remember(source), [2, 9], model.initial_caches(1))
    model.decoder.layers[0].feed_forward.up.weight *= 2
    both(model, model.remember(source), [2, 9], model.initial_caches(1))
