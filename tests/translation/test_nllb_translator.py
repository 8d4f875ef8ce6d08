"""NLLB from text to text: the fixture's network behind a vocabulary that fits it."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from fakes import FakeVoice
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten
from translation.nllb_folder import PIECES, TEXTS, language_ids, vocabulary, write_folder
from translation.nllb_models import random_config, random_model, reference, tiny

from mlx_speak.errors import ModelFormatError, ModelNotFoundError, UnknownLanguageError
from mlx_speak.pipeline import Pipeline
from mlx_speak.text import TextEvent
from mlx_speak.translation import nllb
from mlx_speak.translation.guards import Guard
from mlx_speak.translation.nllb import NLLB, NLLBTranslator, Search, load, load_model
from mlx_speak.translation.restriction import Vocabulary

WORDS = sorted({word.strip(".,!?;()") for text in TEXTS[:4] for word in text.split()})
SENTENCES = [
    " ".join(WORDS[i % len(WORDS)] for i in range(start, start + 1 + start % 7))
    for start in range(40)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("nllb") / "tiny")


@pytest.fixture(scope="module")
def shared(folder: Path) -> NLLBTranslator:
    """For tests that leave it as it is."""
    return load(folder)


@pytest.fixture
def translator(folder: Path) -> NLLBTranslator:
    return load(folder)


@pytest.fixture
def forgetful(folder: Path) -> NLLBTranslator:
    """The model with half its memory of what it has said: it falls into loops."""
    translator = load(folder)
    weights = tree_flatten(translator.model.parameters())
    halved = [(k, v / 2) for k, v in weights if k.endswith("self_attention.output.weight")]
    translator.model.load_weights(halved, strict=False)
    return translator


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def test_languages_in_either_notation(translator: NLLBTranslator) -> None:
    known, targets = translator.languages
    assert [language.flores for language in known] == list(language_ids())
    assert known == targets
    text = TEXTS[0]
    expected = translator.translate(text, "en", "pt")
    assert translator.translate(text, "eng_Latn", "por_Latn").tokens == expected.tokens
    assert translator.translate(text, "en-US", "pt-BR").tokens == expected.tokens
    assert translator.translate(text, "en", "ja").tokens != expected.tokens
    german = translator.translate(SENTENCES, "de", "pt")
    assert [r.tokens for r in german] != [
        r.tokens for r in translator.translate(SENTENCES, "en", "pt")
    ]


def test_a_language_is_needed_and_must_be_known(translator: NLLBTranslator) -> None:
    with pytest.raises(UnknownLanguageError, match="give the source language"):
        translator.translate("a", target="ja")
    with pytest.raises(UnknownLanguageError, match=r"into Chinese.*nearest .*zh-Hans"):
        translator.translate("a", "en", "zh-Hant")
    with pytest.raises(UnknownLanguageError, match="did you mean"):
        translator.translate("a", "en", "japanese")


def test_the_same_language_is_not_translated(translator: NLLBTranslator) -> None:
    assert translator.translate(" As it is. ", "pt-BR", "pt-PT").text == " As it is. "
    assert translator.translate("a", "zh-Hant", "zh_TW").tokens == []
    assert translator.pair("zh-Hans", "arb")[0].flores == "zho_Hans"


@pytest.mark.oracle
@pytest.mark.parametrize(
    "search",
    [
        Search(),
        Search(no_repeat_ngram_size=2),
        Search(num_beams=4),
        Search(num_beams=3, length_penalty=2.0, early_stopping=True, repetition_penalty=1.3),
    ],
    ids=str,
)
def test_sentences_as_transformers(translator: NLLBTranslator, search: Search) -> None:
    """From the encoded sentence to its text; the tiny model ends long before any limit."""
    import torch

    theirs = reference(translator.model)
    translator.search = search
    source, target = translator.pair("en", "ja")
    some = SENTENCES[::4]
    found = translator.translate_sentences(some, source, target)
    for sentence, tokens in zip(some, found, strict=True):
        (ids,) = theirs.generate(
            torch.tensor([translator.tokenizer.encode(sentence, source)]),
            forced_bos_token_id=language_ids()["jpn_Jpan"],
            max_length=64,
            num_beams=search.num_beams,
            length_penalty=search.length_penalty,
            early_stopping=search.early_stopping,
            no_repeat_ngram_size=search.no_repeat_ngram_size,
            repetition_penalty=search.repetition_penalty,
        ).tolist()
        assert tokens == ids[2:-1]
        assert translator.detokenize(tokens, target) == translator.tokenizer.decode(ids)


@pytest.mark.parametrize("search", [Search(), Search(num_beams=3)], ids=str)
def test_batch_equals_single(
    translator: NLLBTranslator, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nllb, "_TOKENS", 100)  # many batches
    translator.search = search
    pair = translator.pair("en", "pt")
    together = translator.translate_sentences(SENTENCES, *pair)
    assert together == [translator.translate_sentences([s], *pair)[0] for s in SENTENCES]


@pytest.mark.parametrize("others", [0, 3])
def test_a_loop_ends_when_it_is_noticed(forgetful: NLLBTranslator, others: int) -> None:
    """Not at its limit, which is far away; nor does it keep others waiting."""
    pair = forgetful.pair("en", "pt")
    forgetful.alternatives = lambda *args: iter(())  # type: ignore[method-assign]
    loop = next(s for s in SENTENCES if "repeats" in forgetful.translate(s, *pair).warning)
    steps = []
    decode = forgetful.model.decode
    forgetful.model.decode = lambda *args, **kw: steps.append(1) or decode(*args, **kw)
    results = forgetful.translate([loop, *SENTENCES[:others]], *pair)
    assert results[0].warning
    assert len(steps) < 40 < forgetful.limit(forgetful.count_tokens(loop, pair[0]))


@given(
    st.lists(st.integers(1, 600), max_size=200),
    st.integers(1, 8),
)
def test_batches(lengths: list[int], num_beams: int) -> None:
    batches = list(nllb._batches(lengths, num_beams))
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    in_order = [lengths[i] for batch in batches for i in batch]
    assert in_order == sorted(lengths)
    for batch in batches:
        padded = len(batch) * max(lengths[i] for i in batch)
        assert len(batch) == 1 or padded <= nllb._TOKENS
        assert len(batch) == 1 or len(batch) * num_beams <= nllb._ROWS


@pytest.mark.parametrize("search", [Search(), Search(num_beams=3)], ids=str)
def test_stream_ends_as_translate(translator: NLLBTranslator, search: Search) -> None:
    translator.search = search
    text = " ".join(TEXTS[:4])
    parts = list(translator.stream_translate(text, "en", "pt"))
    whole = translator.translate(text, "en", "pt")
    assert (parts[-1].text, parts[-1].tokens) == (whole.text, whole.tokens)
    assert len(parts) > 20
    for before, after in itertools.pairwise(parts):
        assert after.text.startswith(before.text)
        assert after.tokens[: len(before.tokens)] == before.tokens


def test_the_model_gets_one_sentence_at_a_time(
    translator: NLLBTranslator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves sentences out when it gets several."""
    given: list[str] = []
    encode = translator.tokenizer.encode
    monkeypatch.setattr(
        translator.tokenizer,
        "encode",
        lambda text, source: given.append(text) or encode(text, source),
    )
    text = "The dog is lazy. Is it? It is! So is the fox,\nwho jumps.\n\nA heading\n\nThe end."
    translator.translate(text, "en", "pt")
    list(translator.stream_translate(text, "en", "pt"))
    sentences = ["The dog is lazy.", "Is it?", "It is!", "So is the fox, who jumps.", "A heading"]
    assert set(given) == {*sentences, "The end."}


def test_long_sentences_are_cut_to_what_the_model_takes(translator: NLLBTranslator) -> None:
    source, target = translator.pair("en", "pt")
    assert translator.max_length == 64  # the fixture's positions; NLLB-200's own are 1024
    for text in ("dog " * 300, "x" * 500, "the lazy dog, " * 60, "我" * 400):
        pieces = [piece for piece, _ in translator._sentences(text, source, target)]
        assert len(pieces) > 1
        assert "".join("".join(pieces).split()) == "".join(text.split())
        assert all(translator.count_tokens(piece, source) <= 64 for piece in pieces)
    big = NLLBTranslator(NLLB(random_config(max_position_embeddings=1024)), translator.tokenizer)
    assert big.max_length == 512
    assert big.limit(512) == 1022


def test_a_translation_has_a_limit(folder: Path) -> None:
    """A random model never ends: it is stopped, and flagged, within the positions it has."""
    config = random_config(vocab_size=259)
    translator = NLLBTranslator(random_model(config), load(folder).tokenizer)
    pair = translator.pair("en", "pt")
    for text in ("The dog.", "dog " * 20, "The dogs.", "dog " * 12):
        *_, tokens = translator.stream_sentence(text, *pair)
        assert len(tokens) == translator.limit(translator.count_tokens(text, pair[0])) <= 62
        assert translator.translate(text, *pair).warning
    assert "finds no end" in translator.translate("The dog.", *pair).warning


@pytest.mark.parametrize("ids", [range(4, 40), range(4, 10), [], [7, 258]], ids=len)
def test_a_vocabulary_changes_nothing(
    translator: NLLBTranslator, ids: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [r.tokens for r in translator.translate(SENTENCES, "en", "pt")]
    assert _uses(monkeypatch, lambda: translator.translate(TEXTS[0], "en", "pt")) == 0
    translator.vocabularies["por_Latn"] = Vocabulary(np.array(ids, np.int32))
    assert _uses(monkeypatch, lambda: translator.translate(TEXTS[0], "en", "pt")) == 1
    assert _uses(monkeypatch, lambda: translator.translate(TEXTS[0], "en", "ja")) == 0
    assert [translator.translate(s, "en", "pt").tokens for s in SENTENCES] == expected
    assert [r.tokens for r in translator.translate(SENTENCES, "en", "pt")] == expected


def _uses(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> int:
    """How many sentences of a run are decoded by verified guesses."""
    uses = []
    with monkeypatch.context() as patch:
        exact_greedy = nllb.exact_greedy
        patch.setattr(
            nllb, "exact_greedy", lambda *args, **kw: uses.append(1) or exact_greedy(*args, **kw)
        )
        run()
    return len(uses)


def test_a_draft_changes_nothing(
    translator: NLLBTranslator, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(TEXTS[:3])
    expected = translator.translate(text, "en", "pt")
    for draft in (
        expected.tokens,
        expected.tokens[:7],
        [5, 5, 5],
        [2, 1, 999, -1],
        [9, *expected.tokens],
    ):
        found = translator.translate(text, "en", "pt", draft=draft)
        assert (found.text, found.tokens) == (expected.text, expected.tokens)
    assert _uses(monkeypatch, lambda: translator.translate(text, "en", "pt", draft=[5])) == 1
    # Beam search has no use for a draft, and takes one all the same.
    translator.search = Search(num_beams=2)
    beams = translator.translate(text, "en", "pt")
    assert translator.translate(text, "en", "pt", draft=beams.tokens).tokens == beams.tokens


def test_a_draft_saves_steps(translator: NLLBTranslator) -> None:
    whole = translator.translate(TEXTS[0], "en", "pt").tokens
    steps = len(list(translator.stream_translate(TEXTS[0], "en", "pt")))
    drafted = len(list(translator.stream_translate(TEXTS[0], "en", "pt", draft=whole)))
    assert drafted <= 4 < steps


def test_vocabularies_are_found_in_the_folder(folder: Path, tmp_path: Path) -> None:
    whole = copy(folder, tmp_path / "whole")
    (whole / "vocabulary").mkdir()
    path = whole / "vocabulary" / "por_Latn.safetensors"
    mx.save_safetensors(str(path), {"ids": mx.arange(4, 40)})
    assert {k: len(v) for k, v in load(whole).vocabularies.items()} == {"por_Latn": 36}
    mx.save_safetensors(str(path), {"ids": mx.array([5, 259])})
    with pytest.raises(ModelFormatError, match=r"por_Latn.*another model"):
        load(whole)
    path.write_bytes(b"junk")
    with pytest.raises(ModelFormatError, match="por_Latn"):
        load(whole)


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 0},
        {"early_stopping": "sometimes"},
        {"no_repeat_ngram_size": -1},
        {"repetition_penalty": 0.0},
    ],
)
def test_searches_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Search(**options)


def test_loops_are_tried_again_or_cut(forgetful: NLLBTranslator) -> None:
    """Most come right without the n-gram that repeats; what does not is flagged."""
    source, target = forgetful.pair("en", "pt")
    outcomes = Counter[str]()
    for sentence in SENTENCES[:20]:
        (plain,) = forgetful.translate_sentences([sentence], source, target)
        length = forgetful.count_tokens(sentence, source)
        guard = Guard(sentence, length, forgetful.limit(length))
        guard.see(plain)
        fault = guard.verdict()
        whole = forgetful.translate(sentence, source, target)
        parts = list(forgetful.stream_translate(sentence, source, target))
        for before, after in itertools.pairwise(parts):
            assert after.text.startswith(before.text)
            assert after.tokens[: len(before.tokens)] == before.tokens
        if fault is None:
            outcomes["right"] += 1
            assert (whole.tokens, whole.warning) == (plain, "")
        elif whole.warning:
            outcomes["flagged"] += 1
            assert whole.tokens == plain[: fault.keep]
        else:
            outcomes["mended"] += 1
            assert whole.tokens != plain
        if not parts[-1].warning:
            outcomes["streamed"] += 1
            assert parts[-1].tokens == whole.tokens
    assert outcomes["right"] >= 3
    assert outcomes["flagged"] >= 1
    assert outcomes["mended"] >= 3
    assert outcomes["streamed"] >= outcomes["right"] + 2  # loops end well in streams too


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "\0\x07\x1b[31m",
        "\ud800 The \udfff dog",
        "the собака いろ 狗 dog ثلاثة",
        "\u200fthe\u202e god\u2066",
        "</s> <unk> eng_Latn <mask> __en__",
        "😀" * 100,
        "?!" * 100,
        "\ufffe\uffff\U0010ffff",
        "e" + "\u0301" * 500,
    ],
)
def test_text_of_any_kind(translator: NLLBTranslator, text: str) -> None:
    result = translator.translate(text, "en", "pt")
    assert isinstance(result.text, str)
    *_, last = translator.stream_translate(text, "en", "pt")
    assert last.text == result.text
    if not text.strip("\0\x07 \n\t"):
        assert (result.text, result.warning) == ("", "")


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=80))
def test_any_text(shared: NLLBTranslator, text: str) -> None:
    result = shared.translate(text, "en", "ja")
    result.text.encode()
    assert all(0 <= token < 259 for token in result.tokens)


@pytest.mark.parametrize("wrong", [b"bytes", 3, None, ["a", 3], ["a", b"b"]])
def test_other_things_than_text_are_refused(translator: NLLBTranslator, wrong: object) -> None:
    with pytest.raises(TypeError, match="str"):
        translator.translate(wrong, "en", "pt")  # type: ignore[call-overload]


@pytest.mark.parametrize("unit", ["The quick fox. ", "x", "敏捷"])
def test_a_hundred_thousand_characters(translator: NLLBTranslator, unit: str) -> None:
    """A second or four on two cores: no step is slower than linear in the text."""
    start = time.perf_counter()
    result = translator.translate((unit * 100_000)[:100_000], "en", "pt")
    assert time.perf_counter() - start < 60
    assert len(result.tokens) > 1000
    assert len(result.warning) < 1000


@pytest.mark.parametrize("kind", ["nllb", "m2m_100"])
def test_either_tokenizer(tmp_path: Path, kind: str) -> None:
    translator = load(write_folder(tmp_path / "model", tokenizer=kind))
    source = translator.pair("en", "pt")[0]
    encoded = translator.tokenizer.encode(TEXTS[0], source)
    assert (encoded[0], encoded[-1]) == (language_ids()["eng_Latn"], 2)
    assert translator.translate(TEXTS[0], "en", "pt").text


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision(folder: Path, tmp_path: Path, dtype: mx.Dtype) -> None:
    """Tokens may differ where scores are level; most of these short translations are the same."""
    half = copy(folder, tmp_path / "half")
    path = str(half / "model.safetensors")
    weights = {k: v.astype(dtype) for k, v in mx.load(path).items()}
    mx.eval(weights)
    mx.save_safetensors(path, weights)
    translator = load(half)
    assert translator.model.embedding.weight.dtype == dtype
    found = [r.tokens for r in translator.translate(SENTENCES, "en", "pt")]
    expected = [r.tokens for r in load(folder).translate(SENTENCES, "en", "pt")]
    assert sum(a == b for a, b in zip(found, expected, strict=True)) > len(SENTENCES) / 2


def test_loaded_here_used_in_another_thread(folder: Path) -> None:
    translator = load(folder)
    translator.vocabularies["por_Latn"] = Vocabulary(np.arange(4, 40))
    expected = load(folder).translate(TEXTS[0], "en", "pt").text
    found = []
    thread = threading.Thread(
        target=lambda: found.append(translator.translate(TEXTS[0], "en", "pt").text)
    )
    thread.start()
    thread.join()
    assert found == [expected]


def test_translations_interleave(translator: NLLBTranslator) -> None:
    """Two sentences may be in flight at once, in different languages."""
    jobs = [(TEXTS[0], "en", "pt"), (TEXTS[2], "de", "ja")]
    alone = [list(translator.stream_translate(*job))[-1].text for job in jobs]
    streams = [translator.stream_translate(*job) for job in jobs]
    last = ["", ""]
    for parts in itertools.zip_longest(*streams):
        last = [part.text if part else text for part, text in zip(parts, last, strict=True)]
    assert last == alone


def test_warm_up(translator: NLLBTranslator) -> None:
    translator.warm_up()
    translator.warm_up("en", "ja")


def test_a_pipeline_speaks_its_translations(translator: NLLBTranslator) -> None:
    spoken: list[str] = []
    sentences = [TEXTS[0], "Is it lazy?", "So is the fox."]
    events = [TextEvent(" ".join(sentences), "text", "m"), TextEvent("", "end", "m")]
    with Pipeline(translator, FakeVoice(spoken.append), "en", "pt", output="null") as pipe:
        pipe.warm_up()
        said = list(pipe.run(events))
    assert [u.source for u in said] == sentences
    assert [u.state for u in said] == ["heard"] * 3
    assert [u.text for u in said] == [r.text for r in translator.translate(sentences, "en", "pt")]
    assert [u.warning for u in said] == ["", "", ""]
    assert spoken[-3:] == [u.text for u in said]


def test_a_pipeline_carries_warnings(forgetful: NLLBTranslator) -> None:
    results = [list(forgetful.stream_translate(s, "en", "pt"))[-1] for s in SENTENCES[:20]]
    (flagged,) = [r for r in results if r.warning and r.text][:1]
    events = [TextEvent(flagged.source_text, "text", "m"), TextEvent("", "end", "m")]
    with Pipeline(forgetful, FakeVoice(), "en", "pt", output="null") as pipe:
        (said,) = pipe.run(events)
    assert (said.text, said.warning) == (flagged.text, flagged.warning)


def _change(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _rewrite(folder: Path, change: Callable[[dict[str, mx.array]], object]) -> None:
    path = str(folder / "model.safetensors")
    weights = dict(mx.load(path))
    mx.eval(weights)
    change(weights)
    mx.save_safetensors(path, weights)


def _with(value: float) -> Callable[[dict[str, mx.array]], object]:
    def change(weights: dict[str, mx.array]) -> None:
        weights["decoder.layers.1.feed_forward.up.weight"][3, 5] = value

    return change


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no config": lambda f: (f / "config.json").unlink(),
    "half a config": lambda f: (f / "config.json").write_text('{"model_type": "nllb",'),
    "of another type": lambda f: _change(f, model_type="bergamot"),
    "no dimensions": lambda f: _change(f, d_model=None),
    "no languages": lambda f: _change(f, language_token_ids=None),
    "no tokenizer": lambda f: _change(f, tokenizer="bert"),
    "languages beyond the table": lambda f: _change(
        f, language_token_ids=language_ids(count=60), vocab_size=259
    ),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "half the weights": lambda f: (f / "model.safetensors").write_bytes(
        (f / "model.safetensors").read_bytes()[:100_000]
    ),
    "a weight less": lambda f: _rewrite(f, lambda w: w.pop("decoder.norm.bias")),
    "a weight more": lambda f: _rewrite(f, lambda w: w.update(extra=mx.zeros(3))),
    "another shape": lambda f: _rewrite(f, lambda w: w.update({"encoder.norm.bias": mx.zeros(31)})),
    "a smaller table": lambda f: _rewrite(
        f, lambda w: w.update({"embedding.weight": w["embedding.weight"][:256]})
    ),
    "not a number": lambda f: _rewrite(f, _with(float("nan"))),
    "infinity": lambda f: _rewrite(f, _with(float("-inf"))),
    "no vocabulary": lambda f: (f / "sentencepiece.bpe.model").unlink(),
    "half the vocabulary": lambda f: (f / "sentencepiece.bpe.model").write_bytes(
        vocabulary()[:1000]
    ),
    "another vocabulary": lambda f: (f / "sentencepiece.bpe.model").write_bytes(
        vocabulary(PIECES + 10)
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_damaged_folders(folder: Path, tmp_path: Path, damage: str) -> None:
    broken = copy(folder, tmp_path / "broken")
    load(broken)
    DAMAGES[damage](broken)
    with pytest.raises((ModelFormatError, ModelNotFoundError)) as caught:
        load(broken)
    assert str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_the_bare_model_needs_no_tokenizer(folder: Path, tmp_path: Path) -> None:
    bare = copy(folder, tmp_path / "bare")
    (bare / "sentencepiece.bpe.model").unlink()
    model, oracle = load_model(bare), tiny()[1]
    ids, mask, targets = (
        mx.array(oracle[name].astype(np.int32))
        for name in ("input_ids", "attention_mask", "decoder_input_ids")
    )
    # float32 in another order than torch's.
    np.testing.assert_allclose(np.array(model(ids, targets, mask)), oracle["logits"], atol=1e-5)
