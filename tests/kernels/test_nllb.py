"""An NLLB on the kernels, through the dispatcher and emulated, against the model as it is."""

from __future__ import annotations

from collections import Counter

import metal_emu
import mlx.core as mx
import mlx.nn as nn
import pytest
from translation.nllb_models import as_dtype, random_config, random_model

from mlx_speak import kernels
from mlx_speak.translation.nllb_model import NLLB

CONFIG = random_config(
    vocab_size=5000,  # two parts for argmax
    d_model=128,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
)
LAYERS = CONFIG.decoder_layers


def quantized(bits: int) -> NLLB:
    """Every linear layer and the table, as conversion makes them."""
    model = random_model(CONFIG)
    nn.quantize(model, group_size=32, bits=bits)
    mx.eval(model.parameters())
    return model


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


def ran(emulator: metal_emu.Emulator) -> Counter[str]:
    """How many times each kernel was dispatched."""
    names = [kernel.name for operation in kernels.OPERATIONS for kernel in operation.kernels]
    names.sort(key=len, reverse=True)  # "quantized_projection" ends as "projection" does
    dispatched = [executed.call.name for executed in emulator.executed]
    return Counter(next(n for n in names if f"mlx_speak_{n}_" in full) for full in dispatched)


@pytest.mark.parametrize("bits", [None, 8, 4])
def test_decoding_is_the_same(emulated, bits: int | None) -> None:
    """In fp32, through two layers; the difference is of another order of the same sums."""
    model = quantized(bits) if bits else random_model(CONFIG)
    expected, hidden = greedy(model, 4)
    expected_beams = beams(model)
    mx.eval(hidden, expected_beams)
    with emulated() as emulator:
        found, on_kernels = greedy(model, 4)
        greedily = ran(emulator)
        found_beams = beams(model)
    assert found == expected
    assert mx.abs(on_kernels - hidden).max().item() < 1e-5
    assert mx.abs(found_beams - expected_beams).max().item() < 1e-5
    # Of 4 steps, the first of which starts with an empty cache; the encoder has too many rows.
    assert greedily == {
        "decode_attention": 3 * LAYERS,
        "query_attention": 4 * LAYERS,
        "embedding": 4 + 1,  # the encoder's, too
        "quantized_projection" if bits else "projection": 4 * 5 * LAYERS,
        "argmax_parts": 4,
        "argmax_best": 4,
    }


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_decoding_is_close_in_16_bits(emulated, dtype: mx.Dtype) -> None:
    """The kernels round less: a norm and a sum on their way stay in fp32. So both are compared
    with the model in fp32, and the kernels may not be further from it than plain MLX is."""
    model = random_model(CONFIG)
    exact, rounded = beams(model), as_dtype(model, dtype)
    plain = beams(rounded).astype(mx.float32)
    mx.eval(plain)
    with emulated() as emulator:
        on_kernels = beams(rounded)
    assert emulator.executed
    assert on_kernels.dtype == dtype
    distance = mx.abs(on_kernels.astype(mx.float32) - exact).mean().item()
    assert distance <= mx.abs(plain - exact).mean().item()


def test_many_sentences_are_too_many_rows_to_project(emulated) -> None:
    """Their attention is on the kernels all the same."""
    model = random_model(CONFIG)
    memory = model.remember(model.encode(mx.broadcast_to(mx.array([5, 7, 9, 2]), (9, 4))))
    tokens = mx.arange(18).reshape(9, 2)
    expected, _ = model.decode(tokens, memory, model.initial_caches(9))
    mx.eval(expected)
    with emulated() as emulator:
        hidden, _ = model.decode(tokens, memory, model.initial_caches(9))
        assert mx.abs(hidden - expected).max().item() < 1e-5
    assert ran(emulator) == {"embedding": 1, "cross_attention": LAYERS}


def test_what_no_kernel_takes_is_computed_all_the_same(emulated) -> None:
    """Heads of 32, a mask of numbers, and masks that are not the kernels'."""
    model = random_model(random_config(decoder_attention_heads=2, d_model=64))
    expected = beams(model)
    mx.eval(expected)
    with emulated() as emulator:
        assert mx.abs(beams(model) - expected).max().item() < 1e-5
    assert set(ran(emulator)) == {"embedding", "projection"}
