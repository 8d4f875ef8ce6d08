"""The network against transformers: every state, shapes, types, and bad input."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from support import package
from translation.nllb_models import (
    END,
    FIXTURE,
    PAD,
    as_dtype,
    random_config,
    random_model,
    random_sources,
    reference,
    run_reference,
    tiny,
    torch_ids,
)

from mlx_speak.errors import ModelFormatError
from mlx_speak.translation import nllb_model
from mlx_speak.translation.nllb_model import NLLB, NLLBConfig

# float32 in another order of summation, over a handful of layers; states are up to 10.
TOLERANCE = 1e-5

Oracle = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model() -> NLLB:
    return tiny()[0]


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return tiny()[1]


@pytest.fixture(scope="module")
def inputs(oracle: Oracle) -> dict[str, mx.array]:
    names = ("input_ids", "attention_mask", "decoder_input_ids")
    return {name: mx.array(oracle[name].astype(np.int32)) for name in names}


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[mx.array]]:
    """What enters the first layer of a stack and what each layer returns, as they run."""
    seen: list[mx.array] = []

    def spy(layer: type[nn.Module]) -> None:
        call = layer.__call__

        def record(self: nn.Module, x: mx.array, *args: Any) -> Any:
            result = call(self, x, *args)
            seen.extend(
                ([] if seen else [x]) + [result[0] if isinstance(result, tuple) else result]
            )
            return result

        monkeypatch.setattr(layer, "__call__", record)

    spy(nllb_model.EncoderLayer)
    spy(nllb_model.DecoderLayer)
    return seen


def close(found: mx.array, expected: np.ndarray | mx.array, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=0, atol=tolerance)


# The fixture.


def test_encoder_states(
    model: NLLB, oracle: Oracle, inputs: dict[str, mx.array], states: list[mx.array]
) -> None:
    encoded = model.encode(inputs["input_ids"], inputs["attention_mask"])
    close(encoded, oracle["encoder_out"])
    assert len(states) == 3
    # transformers' last hidden state is the normalised one.
    for i, state in enumerate([*states[:-1], encoded]):
        close(state, oracle[f"enc_hidden_{i}"])


def test_decoder_states(
    model: NLLB, oracle: Oracle, inputs: dict[str, mx.array], states: list[mx.array]
) -> None:
    memory = model.remember(mx.array(oracle["encoder_out"]), inputs["attention_mask"])
    hidden, _ = model.decode(inputs["decoder_input_ids"], memory, model.initial_caches(4))
    assert len(states) == 3
    for i, state in enumerate([*states[:-1], hidden]):
        close(state, oracle[f"dec_hidden_{i}"])


def test_logits(model: NLLB, oracle: Oracle, inputs: dict[str, mx.array]) -> None:
    close(model(**inputs), oracle["logits"])


def test_positions(oracle: Oracle) -> None:
    """Row 0 is a place that no token takes; a pad takes row 1, which transformers zeroes."""
    table = nllb_model.sinusoids(64, 32)[:64]
    close(table[2:], oracle["positions_table"][2:])
    assert not oracle["positions_table"][1].any()


@pytest.mark.oracle
def test_the_fixture_holds_what_transformers_computes(oracle: Oracle) -> None:
    module = package("transformers.models.m2m_100")
    from translation.make_nllb_fixture import results

    theirs = results(module.M2M100ForConditionalGeneration.from_pretrained(FIXTURE).eval())
    assert theirs.keys() == oracle.keys()
    for name in oracle.keys() - {"gencfg"}:
        # Another number of threads, or another version of torch, sums in another order.
        np.testing.assert_allclose(theirs[name], oracle[name], rtol=0, atol=TOLERANCE)


# Padding.


def test_padding_changes_nothing(model: NLLB) -> None:
    """A source alone, padded on the right among others, and padded on the left."""
    lengths = [9, 4, 12]
    input_ids, attention_mask = random_sources(model.config, lengths)
    targets = random_sources(model.config, [7, 7, 7], seed=1)[0]
    batched = model(input_ids, targets, attention_mask)
    left = [[PAD] * (12 - n) + row[:n] for row, n in zip(input_ids.tolist(), lengths, strict=True)]
    from_left = model(mx.array(left), targets, mx.array(left) != PAD)
    for row, length in enumerate(lengths):
        alone = model(input_ids[row : row + 1, :length], targets[row : row + 1])
        close(alone[0], batched[row])
        close(from_left[row], batched[row])


def test_a_full_mask_is_no_mask(model: NLLB) -> None:
    input_ids, attention_mask = random_sources(model.config, [8, 8])
    targets = random_sources(model.config, [5, 5], seed=1)[0]
    close(model(input_ids, targets), model(input_ids, targets, attention_mask))
    assert model.remember(model.encode(input_ids)).mask is None


# Steps.


def test_steps_equal_one_pass(model: NLLB, inputs: dict[str, mx.array]) -> None:
    whole = model(**inputs)
    input_ids, attention_mask, targets = inputs.values()
    memory = model.remember(model.encode(input_ids, attention_mask), attention_mask)
    for lengths in ([1] * 8, [2, 1, 1, 4], [3, 5]):
        caches, found, start = model.initial_caches(4), [], 0
        for length in lengths:
            hidden, caches = model.decode(targets[:, start : start + length], memory, caches)
            found.append(model.logits(hidden))
            start += length
        close(mx.concatenate(found, axis=1), whole)


def test_caches_are_values(model: NLLB, inputs: dict[str, mx.array]) -> None:
    """Two continuations of one beginning, one after the other and each twice."""
    input_ids, attention_mask, targets = inputs.values()
    memory = model.remember(model.encode(input_ids, attention_mask), attention_mask)
    _, beginning = model.decode(targets[:, :3], memory, model.initial_caches(4))
    endings = [targets[:, 3:5], targets[:, 5:8]]
    first = [model.decode(ending, memory, beginning)[0] for ending in endings]
    mx.eval(first)
    for ending, expected in zip(endings, first, strict=True):
        assert mx.array_equal(model.decode(ending, memory, beginning)[0], expected)


def test_alternatives_equal_separate_passes(model: NLLB, inputs: dict[str, mx.array]) -> None:
    """A tree of tokens in one cache: a prompt, three tokens after it, then two after one of them
    and one after another."""
    input_ids, attention_mask = inputs["input_ids"][:1], inputs["attention_mask"][:1]
    memory = model.remember(model.encode(input_ids, attention_mask), attention_mask)
    prompt, tokens, later, parents = [2, 50], [7, 8, 9], [10, 11, 12], [2, 0, 2]
    _, caches = model.decode(mx.array([prompt]), memory, model.initial_caches(1))

    def visible(rows: list[list[int]]) -> mx.array:
        """(1, 1, rows, slots), where each row sees the prompt and these slots."""
        mask = np.zeros((len(rows), 2 + max(map(max, rows)) - 1), bool)
        for row, slots in zip(mask, rows, strict=True):
            row[[0, 1, *slots]] = True
        return mx.array(mask)[None, None]

    hidden, caches = model.decode(
        mx.array([tokens]), memory, caches, position=2, mask=visible([[2], [3], [4]])
    )
    for i, token in enumerate(tokens):
        target = mx.array([[*prompt, token]])
        expected, _ = model.decode(target, memory, model.initial_caches(1))
        close(hidden[:, i], expected[:, -1])

    slots = [[2 + parent, 5 + i] for i, parent in enumerate(parents)]
    hidden, _ = model.decode(mx.array([later]), memory, caches, position=3, mask=visible(slots))
    for i, (parent, token) in enumerate(zip(parents, later, strict=True)):
        target = mx.array([[*prompt, tokens[parent], token]])
        expected, _ = model.decode(target, memory, model.initial_caches(1))
        close(hidden[:, i], expected[:, -1])


# transformers, on random models of other shapes.


SHAPES = {
    "head_dim 16": {},
    "head_dim 64": {"d_model": 128, "encoder_attention_heads": 2, "decoder_attention_heads": 2},
    "head_dim 128": {"d_model": 256, "encoder_attention_heads": 2, "decoder_attention_heads": 2},
    "head_dim 3": {"d_model": 12},
    "heads differ": {"encoder_attention_heads": 2, "decoder_attention_heads": 8},
    "as SMaLL-100": {"encoder_layers": 6, "decoder_layers": 1, "encoder_ffn_dim": 256},
    "unscaled": {"scale_embedding": False},
    "positions beyond the table": {"max_position_embeddings": 8},
}


@pytest.mark.oracle
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_other_shapes(changes: dict[str, Any]) -> None:
    model = random_model(random_config(**changes), seed=3)
    input_ids, attention_mask = random_sources(model.config, [9, 4, 30])
    targets = random_sources(model.config, [12] * 3, seed=1)[0]
    encoded, logits = run_reference(reference(model), input_ids, targets, attention_mask)
    close(model.encode(input_ids, attention_mask), encoded)
    close(model(input_ids, targets, attention_mask), logits)


@pytest.mark.oracle
def test_pads_among_the_targets() -> None:
    """transformers gives a pad no place and lets it be seen; so do we, in a pass and after it."""
    model = random_model(random_config(), seed=4)
    theirs = reference(model)
    input_ids, attention_mask = random_sources(model.config, [9, 4])
    targets = mx.array([[PAD, PAD, END, 50, 7, 8], [END, 50, 9, PAD, PAD, 10]])
    _, logits = run_reference(theirs, input_ids, targets, attention_mask)
    close(model(input_ids, targets, attention_mask), logits)

    later = mx.array([[11, PAD, 12], [PAD, 13, 14]])
    memory = model.remember(model.encode(input_ids, attention_mask), attention_mask)
    _, caches = model.decode(targets, memory, model.initial_caches(2))
    ids = {"input_ids": torch_ids(input_ids), "attention_mask": torch_ids(attention_mask)}
    with package("torch").inference_mode():
        cache = theirs(**ids, decoder_input_ids=torch_ids(targets), use_cache=True)
        out = theirs(
            **ids, decoder_input_ids=torch_ids(later), past_key_values=cache.past_key_values
        )
    close(model.logits(model.decode(later, memory, caches)[0]), out.logits.numpy())


# Types.


@pytest.mark.oracle
@pytest.mark.parametrize("overflowing", [False, True], ids=["", "overflowing"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype: str, overflowing: bool) -> None:
    """No further from float32 than transformers is in that type, give or take half as much.

    Where the encoder's residual overflows float16, transformers clamps it, which float32 does not
    know: there we compare with transformers alone.
    """
    model = random_model(random_config(d_model=128), seed=1)
    if overflowing:
        down = model.encoder.layers[1].feed_forward.down
        down.weight = down.weight * 3e4
    input_ids, attention_mask = random_sources(model.config, [9, 4, 12])
    targets = random_sources(model.config, [7] * 3, seed=1)[0]
    inputs = (input_ids, targets, attention_mask)

    theirs = copy.deepcopy(reference(model)).to(getattr(package("torch"), dtype))
    expected = run_reference(theirs, *inputs)[1]
    half = as_dtype(model, getattr(mx, dtype))
    logits = half(*inputs)
    assert logits.dtype == getattr(mx, dtype)
    assert half.initial_caches(1)[0].keys_values.dtype == logits.dtype
    found = np.array(logits.astype(mx.float32))

    exact = np.array(model(*inputs))
    if overflowing and dtype == "float16":
        assert abs(expected - exact).max() > 0.3  # so it did overflow
        exact = expected
        theirs_off = 1e-2  # what it is without overflow, 5e-3, twice
    else:
        theirs_off = abs(expected - exact).max()
    assert abs(found - exact).max() < 1.5 * theirs_off


@pytest.mark.parametrize("group_size", [32, 64, 128])
@pytest.mark.parametrize("bits", [8, 4])
def test_quantised(bits: int, group_size: int) -> None:
    """A quantised model computes what one with the dequantised weights computes."""
    exact = random_model(random_config(d_model=128, encoder_ffn_dim=256))
    quantised, dequantised = as_dtype(exact, mx.float32), as_dtype(exact, mx.float32)
    nn.quantize(quantised, group_size, bits)
    packed = dict(tree_flatten(quantised.parameters()))
    assert "embedding.scales" in packed
    weights = {
        name: mx.dequantize(
            packed[name], packed[f"{path}.scales"], packed[f"{path}.biases"], group_size, bits
        )
        for name in packed
        for path in [name.removesuffix(".weight")]
        if f"{path}.scales" in packed and name.endswith(".weight")
    }
    dequantised.load_weights(list(weights.items()), strict=False)

    input_ids, attention_mask = random_sources(exact.config, [9, 4])
    targets = random_sources(exact.config, [7, 7], seed=1)[0]
    found = quantised(input_ids, targets, attention_mask)
    expected = dequantised(input_ids, targets, attention_mask)
    close(found, expected)
    off = float(abs(found - exact(input_ids, targets, attention_mask)).max())
    assert 0 < off < {8: 0.2, 4: 3}[bits]  # of logits up to 4; it was quantised, and not wildly


@pytest.mark.parametrize("bits", [8, 4])
def test_the_quantised_table_stays_so_in_memory(bits: int) -> None:
    config = random_config(vocab_size=40000, encoder_layers=1, encoder_ffn_dim=128)
    model = random_model(config)
    nn.quantize(model, 64, bits)
    memory = model.remember(model.encode(mx.array([[5, 6, END]])))
    mx.eval(model.parameters(), memory.keys_values)
    whole_table = config.vocab_size * config.d_model * 4
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    hidden, _ = model.decode(mx.array([[END, 50]]), memory, model.initial_caches(1))
    mx.eval(model.logits(hidden))
    assert mx.get_peak_memory() - before < whole_table / 10


# Bad input.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("activation_function", "gelu"),
        ("tie_word_embeddings", False),
        ("d_model", 33),
        ("d_model", 2),
        ("d_model", "32"),
        ("d_model", 32.0),
        ("d_model", True),
        ("vocab_size", -1),
        ("vocab_size", 2**40),
        ("encoder_layers", 10**6),
        ("encoder_attention_heads", 0),
        ("decoder_attention_heads", 5),
        ("layer_norm_eps", float("nan")),
        ("scale_embedding", 2),
        ("pad_token_id", 259),
        ("decoder_start_token_id", None),
    ],
)
def test_a_config_that_cannot_be_is_refused_by_name(field: str, value: object) -> None:
    config = json.loads((FIXTURE / "config.json").read_text()) | {field: value}
    with pytest.raises(ModelFormatError, match=field):
        NLLBConfig.from_dict(config)


def test_a_config_without_a_dimension_is_refused_by_name() -> None:
    config = json.loads((FIXTURE / "config.json").read_text())
    del config["decoder_ffn_dim"]
    with pytest.raises(ModelFormatError, match="decoder_ffn_dim"):
        NLLBConfig.from_dict(config)
