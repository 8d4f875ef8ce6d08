"""An NLLB whose decoder runs on the kernels, under emulation, against the model as it is."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import pytest
from translation.nllb_models import random_config, random_model

from mlx_speak import kernels
from mlx_speak.nn.attention import merge_heads, split_heads
from mlx_speak.nn.transformer import CrossAttention, SelfAttention
from mlx_speak.translation import nllb_model
from mlx_speak.translation.nllb_model import NLLB

CONFIG = random_config(
    vocab_size=5000,  # two parts for argmax
    d_model=128,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
)


def extend(self: SelfAttention, x, cache, mask=None):
    queries, keys, values = self._project(x)
    mask = None if isinstance(mask, str) else mask
    out = kernels.decode_attention(queries, *cache.filled, keys, values, mask=mask)
    return self.output(merge_heads(out)), cache.extend(keys, values)


def attend_across(self: CrossAttention, x, keys, values, mask=None):
    queries = split_heads(self.query(x), self.num_heads)
    out = kernels.cross_attention(queries, keys, values, mask=mask)
    return self.output(merge_heads(out))


def layer(self: nllb_model.DecoderLayer, x, cache, mask, source, source_mask):
    out, cache = self.self_attention.extend(self.self_attention_norm(x), cache, mask)
    x, normed = add_and_norm(self.cross_attention_norm, out, x)
    out = self.cross_attention(normed, *source, source_mask)
    x, normed = add_and_norm(self.feed_forward_norm, out, x)
    return x + self.feed_forward(normed), cache


def add_and_norm(norm: nn.LayerNorm, out, x):
    return kernels.residual_layer_norm(out, x, norm.weight, norm.bias, eps=norm.eps)


@pytest.fixture
def on_kernels(monkeypatch: pytest.MonkeyPatch, emulated) -> Iterator[None]:
    monkeypatch.setattr(SelfAttention, "extend", extend)
    monkeypatch.setattr(CrossAttention, "__call__", attend_across)
    monkeypatch.setattr(nllb_model.DecoderLayer, "__call__", layer)


def greedy(model: NLLB, steps: int) -> tuple[list[list[int]], mx.array]:
    """The tokens and last hidden states of two sources, one of them padded."""
    input_ids = mx.array([[5, 7, 9, 11, 13, 2], [5, 8, 2, 1, 1, 1]])
    attention_mask = (input_ids != CONFIG.pad_token_id).astype(mx.int32)
    memory = model.remember(model.encode(input_ids, attention_mask), attention_mask)
    caches, tokens, found = model.initial_caches(2), mx.array([[2, 17], [2, 17]]), []
    for _ in range(steps):
        hidden, caches = model.decode(tokens, memory, caches)
        tokens = kernels.argmax(model.logits(hidden[:, -1:])).astype(mx.int32)
        found.append(tokens.reshape(-1).tolist())
    return found, hidden


def beams(model: NLLB) -> mx.array:
    """Three beams of one sentence after two tokens, each of a past of its own."""
    memory = model.remember(model.encode(mx.array([[5, 7, 9, 2]])))
    _, caches = model.decode(mx.array([[2, 17]]), memory, model.initial_caches(1))
    first = mx.array([[True, True, *(i == j for j in range(3))] for i in range(3)])
    _, caches = model.decode(
        mx.array([[20, 21, 22]]), memory, caches, position=2, mask=first[None, None]
    )
    parents = [2, 0, 2]
    seen = [[*(s < 2 or s - 2 == p for s in range(5)), *(i == j for j in range(3))]
            for i, p in enumerate(parents)]  # fmt: skip
    hidden, _ = model.decode(
        mx.array([[30, 31, 32]]), memory, caches, position=3, mask=mx.array(seen)[None, None]
    )
    return hidden


def test_decoding_is_the_same(emulated, request: pytest.FixtureRequest) -> None:
    """In fp32, through two layers; the difference is of another order of the same sums."""
    model = random_model(CONFIG)
    expected, hidden = greedy(model, 4)
    expected_beams = beams(model)
    mx.eval(hidden, expected_beams)
    request.getfixturevalue("on_kernels")
    with emulated() as emulator:
        found, on_kernels = greedy(model, 4)
        found_beams = beams(model)
    assert found == expected
    assert mx.abs(on_kernels - hidden).max().item() < 1e-5
    assert mx.abs(found_beams - expected_beams).max().item() < 1e-5
    names = [executed.call.name for executed in emulator.executed]
    kinds = ("decode_attention", "cross_attention", "residual_layer_norm", "argmax_best")
    ran = {kind: sum(kind in name for name in names) for kind in kinds}
    # Of 4 greedy steps and 3 of the beams, the first of each starts with an empty cache.
    assert ran == {
        "decode_attention": 5 * 2,
        "cross_attention": 7 * 2,
        "residual_layer_norm": 7 * 4,
        "argmax_best": 4,
    }
