"""The model against NumPy in float64, and the translator around it, on a tiny random pair."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_speak.convert.bergamot import convert_bergamot
from translation import tiny

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.translation.bergamot import BergamotConfig, BergamotTranslator, load, load_model
from mlx_speak.translation.decoding import greedy
from mlx_speak.translation.drafting import Report
from mlx_speak.translation.shortlist import Shortlist

SENTENCES = ["The quick tests pass.", "The zebras do not.", "The window tests pass; not slow."]

# float32 against float64 over four layers; the logits are a few tens.
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bergamot")
    return convert_bergamot(tiny.write_folder(path / "source"), path / "en-pt")


@pytest.fixture(scope="module")
def translator(folder: Path) -> BergamotTranslator:
    return load(folder)


def test_logits(folder: Path) -> None:
    model = load_model(folder)
    source, target = [5, 40, 41, 7, 0], [9, 3, 77, 12, 60, 2]
    found = np.array(model(mx.array([source]), mx.array([target])))
    assert found.shape == (1, len(target), tiny.VOCABULARY)
    expected = tiny.logits(tiny.random_model(), source, target)
    np.testing.assert_allclose(found[0], expected, atol=TOLERANCE)


def test_padding_changes_nothing(folder: Path) -> None:
    model = load_model(folder)
    sources = [[5, 40, 41, 7, 0], [8, 0]]
    padded = mx.array([sources[0], [8, 0, 66, 66, 66]])
    mask = mx.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    targets = [[9, 3, 77], [4, 5, 6]]
    found = np.array(model(padded, mx.array(targets), mask))
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        expected = tiny.logits(tiny.random_model(), source, target)
        np.testing.assert_allclose(found[row], expected, atol=TOLERANCE)


def test_steps_equal_one_pass(folder: Path) -> None:
    """The state is a value: what it was before a step, or within a pass, can be used again."""
    model = load_model(folder)
    memory = model.encode(mx.array([[5, 40, 41, 7, 0]]))
    embedded = mx.random.normal((1, 6, tiny.DIMS), key=mx.random.key(2))
    whole, last = model.decode(embedded, memory, model.initial_cells(1))
    start = model.initial_cells(1)
    _, middle = model.decode(embedded[:, :4], memory, start)
    for cells in (middle, middle, [layer[:, :4] for layer in last]):
        for t in range(4, 6):
            hidden, cells = model.decode(embedded[:, t : t + 1], memory, cells, position=t)
            # One row of a product against six: the sums may be taken in another order.
            assert mx.allclose(hidden, whole[:, t : t + 1], rtol=0, atol=1e-5)
        for one, other in zip(cells, last, strict=True):
            assert mx.allclose(one[:, -1], other[:, -1], rtol=1e-5, atol=1e-5)


def test_greedy_tokens(translator: BergamotTranslator) -> None:
    """Every token is the best of its shortlist, by the float64 scores, to the limit or the end."""
    weights = tiny.random_model()
    for sentence in SENTENCES:
        (tokens,) = translator.translate_sentences([sentence], *translator.pair("en", "pt"))
        source = [*translator.tokenizer.encode(sentence), 0]
        allowed = translator.shortlist.candidates(source)
        limit = int(2.5 * len(source))
        expected = [*tokens, 0][:limit]
        assert len(tokens) == limit or len(tokens) < limit
        scores = tiny.logits(weights, source, expected)[:, allowed]
        chosen = scores[np.arange(len(expected)), np.searchsorted(allowed, expected)]
        np.testing.assert_allclose(chosen, scores.max(axis=1), atol=TOLERANCE)


def test_batch_equals_single(translator: BergamotTranslator) -> None:
    pair = translator.pair("en", "pt")
    many = [*SENTENCES, "The", *SENTENCES[::-1]] * 6  # more than one batch
    together = translator.translate_sentences(many, *pair)
    assert together == [translator.translate_sentences([one], *pair)[0] for one in many]


def test_stream_ends_as_translate(translator: BergamotTranslator) -> None:
    text = " ".join(SENTENCES)
    parts = list(translator.stream_translate(text))
    assert [part.final for part in parts] == [False] * (len(parts) - 1) + [True]
    whole = translator.translate(text)
    assert (parts[-1].text, parts[-1].tokens) == (whole.text, whole.tokens)
    for before, after in itertools.pairwise(parts):
        assert after.text.startswith(before.text)
        assert after.tokens[: len(before.tokens)] == before.tokens


def test_a_draft_changes_nothing_but_the_steps(translator: BergamotTranslator) -> None:
    pair = translator.pair("en", "pt")
    random = np.random.default_rng(0)
    for sentence in [*SENTENCES, "The", ""]:
        *_, tokens = translator.stream_sentence(sentence, *pair)
        drafts = [
            tokens,
            tokens[:-2],
            tokens[2:],
            [*tokens, *tokens],
            [*tokens[:3], 0, *tokens[3:]],
            [-1, 10**12],
            random.integers(0, tiny.VOCABULARY, 300).tolist(),
            [t if random.random() < 0.8 else 7 for t in tokens],
        ]
        for draft in drafts:
            report = Report()
            *before, last = translator.verify(translator._encode(sentence), draft, report)
            assert last == tokens
            assert all(part == tokens[: len(part)] for part in before)
            *_, last = translator.stream_sentence(sentence, *pair, draft)
            assert last == tokens
            if draft is tokens and not report.ties:
                assert report.passes == 1


def test_translations_interleave(translator: BergamotTranslator) -> None:
    """Two sentences may be in flight at once."""
    alone = [list(translator.stream_translate(s))[-1].text for s in SENTENCES[:2]]
    streams = [translator.stream_translate(s) for s in SENTENCES[:2]]
    last = ["", ""]
    while streams[0] or streams[1]:
        for i, stream in enumerate(streams):
            part = next(stream, None) if stream else None
            if part is None:
                streams[i] = None
            else:
                last[i] = part.text
    assert last == alone


def test_loaded_here_used_in_another_thread(folder: Path) -> None:
    translator = load(folder)
    expected = load(folder).translate(SENTENCES[0]).text
    found = []
    thread = threading.Thread(target=lambda: found.append(translator.translate(SENTENCES[0]).text))
    thread.start()
    thread.join()
    assert found == [expected]


def test_text_of_any_kind(translator: BergamotTranslator) -> None:
    for text in ("", "  \n\t ", "\0\x07", "日本語 😀", "\ud800 The", "a" * 2000, "The " * 400):
        assert isinstance(translator.translate(text).text, str)
    assert translator.translate(" \n").text == ""


def test_warm_up(translator: BergamotTranslator) -> None:
    translator.warm_up()


def test_other_precisions_load(folder: Path, tmp_path: Path) -> None:
    """What `convert --dtype` and `--bits` write, with tied tables in it twice, is read back."""
    from mlx_speak.convert import convert

    exact = tiny.logits(tiny.random_model(), [5, 40, 0], [9, 3, 77])
    for options, dtype, error in (
        # float16 has 11 bits; 8 bits in groups of 32 quantise int8 anew, which costs 6 % on random
        # weights. Weights that are not the model's would be off by more than 100 %.
        ({"dtype": "float16"}, mx.float16, 0.02),
        ({"bits": 8, "group_size": 32}, mx.float32, 0.1),
    ):
        converted = convert(folder, tmp_path / str(dtype), **options)
        translator = load(converted)
        found = translator.model(mx.array([[5, 40, 0]]), mx.array([[9, 3, 77]]))
        assert found.dtype == dtype
        difference = np.array(found[0]).astype(np.float64) - exact
        assert np.sqrt((difference**2).mean() / (exact**2).mean()) < error
        assert translator.translate(SENTENCES[0]).tokens


@given(
    lists=st.lists(st.lists(st.integers(0, 39), max_size=12), min_size=10, max_size=10),
    tokens=st.lists(st.integers(0, 9), max_size=8),
    first=st.integers(1, 40),
)
@settings(deadline=None)
def test_shortlist(lists: list[list[int]], tokens: list[int], first: int) -> None:
    offsets = np.cumsum([0, *map(len, lists)])
    ids = np.array([i for one in lists for i in one], np.uint32)
    shortlist = Shortlist(offsets, ids, first=first, vocab_sizes=(10, 40))
    found = shortlist.candidates(tokens).tolist()
    needed = set(range(first)).union(*(lists[token] for token in tokens))
    assert found == sorted(set(found))
    assert needed <= set(found)
    # The filling is the most frequent tokens that were not there: up to a multiple of eight.
    filling = sorted(set(found) - needed)
    assert len(found) == min(-(-len(needed) // 8) * 8, 40)
    if filling:
        assert set(range(filling[-1] + 1)) <= set(found)


@pytest.mark.parametrize(
    ("offsets", "ids", "first"),
    [
        ([0, 1], [3], 2),
        ([0, 2, 1, 3], [1, 2, 3], 2),
        ([0, 1, 2, 9], [1, 2, 3], 2),
        ([1, 1, 2, 3], [1, 2, 3], 2),
        ([0, 1, 2, 3], [1, 2, 8], 2),
        ([0, 1, 2, 3], [1, 2, 3], 0),
        ([0, 1, 2, 3], [1, 2, 3], 9),
    ],
)
def test_hostile_shortlist(offsets: list[int], ids: list[int], first: int) -> None:
    with pytest.raises(ModelFormatError):
        Shortlist(np.array(offsets), np.array(ids), first=first, vocab_sizes=(3, 8))


def test_greedy_stops_at_the_end_or_the_limit() -> None:
    """Rows 0, 1 and 2 emit 5, 6, 7, … and the end token 0 after 1, 3 and no steps."""
    ends = mx.array([1, 3, 99])

    def step(tokens: mx.array | None, state: mx.array) -> tuple[mx.array, mx.array]:
        return mx.where(state >= ends, 0, 5 + state), state + 1

    outputs = [
        [list(row) for row in rows]
        for rows in greedy(step, mx.array(0), eos_token_id=0, limits=[4, 4, 4])
    ]
    assert outputs == [
        [[5], [5], [5]],
        [[5], [5, 6], [5, 6]],
        [[5], [5, 6, 7], [5, 6, 7]],
        [[5], [5, 6, 7], [5, 6, 7, 8]],
    ]
    *_, last = greedy(step, mx.array(0), eos_token_id=0, limits=[3, 1, 2])
    assert last == [[5], [5], [5, 6]]


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": None},
        {"hidden_size": "16"},
        {"num_attention_heads": 3},
        {"num_attention_heads": 0},
        {"encoder_layers": -1},
        {"source_language": "klingon"},
        {"source_language": 3},
    ],
)
def test_bad_config(folder: Path, change: dict[str, object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(ModelFormatError):
        BergamotConfig.from_dict(config | change)
    with pytest.raises(ModelFormatError):
        BergamotConfig.from_dict({key: config[key] for key in config if key not in change})


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "shortlist.safetensors", "vocab.spm"]
)
def test_damaged_folders(folder: Path, tmp_path: Path, name: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    data = (broken / name).read_bytes()
    (broken / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelFormatError, match=r"broken"):
        load(broken)
    (broken / name).unlink()
    with pytest.raises((ModelFormatError, ModelNotFoundError), match=r"broken"):
        load(broken)
