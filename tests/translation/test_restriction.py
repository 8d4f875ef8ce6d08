"""NLLB's greedy decoding over few rows, and with drafts: always what the whole table says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import figure
from translation.nllb_models import END, PAD, random_config, random_model, random_sources, tiny

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.translation.decoding import generate
from mlx_speak.translation.drafting import Report
from mlx_speak.translation.nllb_model import NLLB, Memory
from mlx_speak.translation.restriction import Vocabulary, bytes_read, exact_greedy


def greedy(model: NLLB, memory: Memory, prompt: Sequence[int], max_length: int) -> list[int]:
    """Greedy decoding as its definition says: one token a step, over the whole table."""
    tokens: list[int] = []
    caches = model.initial_caches(1)
    following = list(prompt)
    while len(prompt) + len(tokens) < max_length:
        hidden, caches = model.decode(mx.array([following]), memory, caches)
        token = int(mx.argmax(model.logits(hidden[:, -1])[0]).item())
        if token == END:
            break
        tokens.append(token)
        following = [token]
    return tokens


def remember(model: NLLB, source: Sequence[int]) -> Memory:
    return model.remember(model.encode(mx.array([source])))


def exact(model: NLLB, memory: Memory, **options: object) -> list[int]:
    """All of `exact_greedy`, which only ever adds to what it has said."""
    said = list(exact_greedy(model, memory, **options))
    for before, after in itertools.pairwise(said):
        assert after[: len(before)] == before
    return said[-1]


def _quantised(bits: int, dtype: mx.Dtype) -> Callable[[NLLB], None]:
    def change(model: NLLB) -> None:
        model.set_dtype(dtype)
        nn.quantize(model, group_size=32, bits=bits)

    return change


PRECISIONS: dict[str, Callable[[NLLB], None]] = {
    "float32": lambda model: None,
    "float16": lambda model: model.set_dtype(mx.float16),
    "bfloat16": lambda model: model.set_dtype(mx.bfloat16),
    "8 bits": _quantised(8, mx.float32),
    "4 bits, bfloat16": _quantised(4, mx.bfloat16),
}


def _models(count: int) -> list[NLLB]:
    """The fixture's, and random ones of several shapes."""
    shapes = ({}, {"d_model": 32, "decoder_layers": 4}, {"vocab_size": 2000, "d_model": 128})
    return [tiny()[0]] + [
        random_model(random_config(**shape), seed)
        for seed, shape in zip(range(count), itertools.cycle(shapes), strict=False)
    ]


@pytest.fixture(scope="module")
def networks() -> list[NLLB]:
    return _models(6)


@given(
    data=st.data(),
    which=st.integers(0, 6),
    source=st.integers(0, 50),
    max_length=st.integers(0, 48),
    vocabulary=st.sampled_from(["none", "empty", "third", "without the right ones", "all"]),
    own=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_exact(
    networks: list[NLLB],
    data: st.DataObject,
    which: int,
    source: int,
    max_length: int,
    vocabulary: str,
    own: bool,
) -> None:
    """Any vocabulary, any draft, any length: the tokens are those of plain greedy decoding."""
    model = networks[which]
    size = model.config.vocab_size
    random = np.random.default_rng(source)
    input_ids = random_sources(model.config, [int(random.integers(2, 14))], seed=source)[0][0]
    memory = remember(model, input_ids.tolist())
    prompt = [END, int(random.integers(4, size))]
    expected = greedy(model, memory, prompt, max_length)
    ids = {
        "none": None,
        "empty": [],
        "third": random.choice(size, size // 3, replace=False),
        "without the right ones": sorted(set(range(size)) - set(expected)),
        "all": range(size),
    }[vocabulary]
    draft = list(expected)
    for _ in range(data.draw(st.integers(0, 3), "changes of the draft")):
        place = data.draw(st.integers(0, len(draft)), "place")
        token = data.draw(st.sampled_from([PAD, END, -1, size, size - 1, 10**12, 7, 8]), "token")
        draft[place : place + 1] = data.draw(st.sampled_from([[], [token], [token] * 60]), "by")
    for offered in (draft, ()):
        found = exact(
            model,
            memory,
            prompt=prompt,
            max_length=max_length,
            vocabulary=None if ids is None else Vocabulary(sorted(ids)),
            source=input_ids.tolist() if own else (),
            draft=offered,
        )
        assert found == expected


@pytest.mark.parametrize("precision", PRECISIONS)
def test_exact_in_every_precision(precision: str) -> None:
    """On CPUs half precision and quantised products are the same for a row alone and among others,
    so no rounding hides a wrong token."""
    model = random_model(random_config(), seed=1)
    PRECISIONS[precision](model)
    size = model.config.vocab_size
    for seed in range(3):
        input_ids = random_sources(model.config, [9], seed=seed)[0][0].tolist()
        memory, prompt = remember(model, input_ids), [END, 5 + seed]
        expected = greedy(model, memory, prompt, 24)
        few = Vocabulary(sorted(set(expected[::2])))
        for vocabulary in (None, few, Vocabulary(range(3, size, 2))):
            for draft in ((), expected, expected[:7] + expected[8:]):
                options = {"vocabulary": vocabulary, "draft": draft, "max_length": 24}
                assert exact(model, memory, prompt=prompt, **options) == expected


def test_as_generate(networks: list[NLLB]) -> None:
    """The greedy decoding meant is the one that this package otherwise does."""
    for seed, model in enumerate(networks):
        input_ids = random_sources(model.config, [9], seed=seed)[0]
        options = {"forced_bos_token_id": 9, "max_length": 40}
        (row,) = generate(model, input_ids, **options).tolist()
        expected = row[2:-1] if row[-1] == END else row[2:]
        memory = remember(model, input_ids[0].tolist())
        few = Vocabulary(range(0, model.config.vocab_size, 3))
        for draft in ((), expected[:-3]):
            options = {"vocabulary": few, "draft": draft, "max_length": 40}
            assert exact(model, memory, prompt=[END, 9], **options) == expected


def test_states_of_passes_and_of_steps(networks: list[NLLB]) -> None:
    """The assumption that drafts rest on: they differ by less than 2⁻¹⁵ of their length."""
    worst = 0.0
    for model in networks:
        random = np.random.default_rng(0)
        for seed in range(4):
            memory = remember(model, random_sources(model.config, [12], seed=seed)[0][0].tolist())
            tokens = mx.array(random.integers(4, model.config.vocab_size, (1, 40)))
            together, _ = model.decode(tokens, memory, model.initial_caches(1))
            caches, states = model.initial_caches(1), []
            for t in range(tokens.shape[1]):
                hidden, caches = model.decode(tokens[:, t : t + 1], memory, caches)
                states.append(hidden)
            singly = mx.concatenate(states, axis=1)
            off = mx.linalg.norm(together - singly, axis=-1) / mx.linalg.norm(singly, axis=-1)
            worst = max(worst, mx.max(off).item())
    figure(f"NLLB: states of one pass and of single steps differ by {worst:.1e} at most")
    assert worst < 2**-15 / 4


def test_pads_within_a_draft_do_not_shift_places() -> None:
    """A pad that the model itself chooses is a place in single steps, and so must it be here."""
    model = random_model(random_config(), seed=3)
    # The table's row of the pad beats all others, now and then.
    rows = model.embedding.weight
    rows[PAD] = 1.7 * mx.mean(mx.abs(rows)) * mx.sign(rows[40])
    model.embedding.weight = rows
    with_pads = 0
    for seed in range(40):
        memory = remember(model, random_sources(model.config, [6], seed=seed)[0][0].tolist())
        expected = greedy(model, memory, [END, 9], 30)
        with_pads += PAD in expected[:-1]
        assert exact(model, memory, prompt=[END, 9], max_length=30, draft=expected) == expected
    assert with_pads > 3


def test_equal_rows_choose_the_lowest_token() -> None:
    """Every token twice: exact ties at each step, which no check can decide."""
    model = random_model(random_config(), seed=1)
    half = model.config.vocab_size // 2
    model.embedding.weight = mx.concatenate([model.embedding.weight[:half]] * 2)
    for seed in range(5):
        memory = remember(model, random_sources(model.config, [8], seed=seed)[0][0].tolist())
        expected = greedy(model, memory, [END, 9], 30)
        assert max(expected, default=0) < half
        upper = Vocabulary(range(half, 2 * half))
        report = Report()
        options = {"prompt": [END, 9], "max_length": 30, "report": report}
        assert exact(model, memory, vocabulary=upper, draft=expected, **options) == expected
        assert report.ties > 0.8 * len(expected)  # single steps need no decision


def test_nearly_equal_rows() -> None:
    """Every token has a twin a few units in the last place away: rounding alone decides."""
    model = random_model(random_config(d_model=128), seed=1)
    half = model.config.vocab_size // 2
    rows = model.embedding.weight[:half]
    twins = rows * (1 + 2e-7 * mx.random.normal(rows.shape, key=mx.random.key(0)))
    model.embedding.weight = mx.concatenate([rows, twins])
    chosen: set[bool] = set()
    for seed in range(5):
        memory = remember(model, random_sources(model.config, [8], seed=seed)[0][0].tolist())
        expected = greedy(model, memory, [END, 9], 24)
        chosen |= {token < half for token in expected}
        for vocabulary in (None, Vocabulary(range(half)), Vocabulary(range(half, 2 * half))):
            for draft in ((), expected, [(t + half) % (2 * half) for t in expected]):
                options = {"vocabulary": vocabulary, "draft": draft, "max_length": 24}
                assert exact(model, memory, prompt=[END, 9], **options) == expected
    assert chosen == {True, False}


def test_bytes_read() -> None:
    """Passes read the decoder, guesses the few rows, checks all of them."""
    model = random_model(random_config(vocab_size=4000), seed=2)
    input_ids = random_sources(model.config, [9])[0][0].tolist()
    memory = remember(model, input_ids)
    vocabulary = Vocabulary(range(1000))
    report = Report()
    tokens = exact(
        model, memory, prompt=[END, 9], max_length=30, vocabulary=vocabulary, report=report
    )
    assert report.passes >= len(tokens)
    dims, ffn = model.config.d_model, model.config.decoder_ffn_dim
    # q, k, v, output; cross query and output; up and down; a bias each; three norms; the last one.
    layer = 4 * dims * (dims + 1) + 2 * dims * (dims + 1) + dims * ffn * 2 + ffn + dims + 6 * dims
    decoder = 4 * (model.config.decoder_layers * layer + 2 * dims)
    table = 4 * 4000 * dims
    expected = report.passes * decoder + report.guesses * table // 4 + report.checks * table
    assert bytes_read(report, model, vocabulary) == expected
    whole = Report(passes=len(tokens) + 1, checks=len(tokens) + 1)
    assert bytes_read(whole, model) == (len(tokens) + 1) * (decoder + table)


def test_rows_are_gathered_once_a_table() -> None:
    model, other = (random_model(random_config(), seed) for seed in (1, 2))
    vocabulary = Vocabulary([3, 5, 250])
    rows = vocabulary.rows(model.embedding)
    assert vocabulary.rows(model.embedding) is rows
    assert mx.array_equal(rows.weight, model.embedding.weight[mx.array([3, 5, 250])])
    assert len(model.embedding.weight) == 300
    assert vocabulary.rows(other.embedding) is not rows


@pytest.mark.parametrize("bits", [4, 8])
def test_rows_of_quantised_tables(bits: int) -> None:
    table = nn.Embedding(60, 64).to_quantized(32, bits)
    ids = [1, 7, 59]
    rows = Vocabulary(ids).rows(table)
    hidden = mx.random.normal((5, 64))
    assert mx.array_equal(rows.as_linear(hidden), table.as_linear(hidden)[:, mx.array(ids)])
    assert rows.weight.nbytes * 20 == table.weight.nbytes


def test_a_vocabulary_of_another_model() -> None:
    model = tiny()[0]
    memory = remember(model, [5, END])
    size = model.config.vocab_size
    with pytest.raises(ModelFormatError, match=f"another model: token {size} of {size}"):
        exact_greedy(model, memory, prompt=[END, 9], max_length=9, vocabulary=Vocabulary([size]))


def test_loading(tmp_path: Path) -> None:
    path = tmp_path / "por_Latn.safetensors"
    mx.save_safetensors(str(path), {"ids": mx.array([2, 5, 9], mx.int32)}, {"texts": "a.txt"})
    assert Vocabulary.load(path).ids.tolist() == [2, 5, 9]
    assert len(Vocabulary.load(path)) == 3
    with pytest.raises(ModelNotFoundError, match=r"no vocabulary .*jpn_Jpan.*convert vocabulary"):
        Vocabulary.load(tmp_path / "jpn_Jpan.safetensors")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds no ids"),
        ({"tokens": mx.array([1])}, "holds no ids"),
        ({"ids": mx.array([1.0, 2.0])}, "a list of token ids"),
        ({"ids": mx.array([[1, 2]])}, "a list of token ids"),
        ({"ids": mx.array(1)}, "a list of token ids"),
        ({"ids": mx.array([2, 1])}, "ascend"),
        ({"ids": mx.array([1, 1])}, "ascend"),
        ({"ids": mx.array([-1, 1])}, "ascend"),
        ({"ids": mx.array([1, 2**40])}, "ascend"),
    ],
)
def test_damaged_vocabularies(tmp_path: Path, arrays: dict[str, mx.array], message: str) -> None:
    path = tmp_path / "por_Latn.safetensors"
    mx.save_safetensors(str(path), arrays)
    with pytest.raises(ModelFormatError, match=rf"por_Latn.*{message}"):
        Vocabulary.load(path)
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(ModelFormatError, match="por_Latn"):
        Vocabulary.load(path)
