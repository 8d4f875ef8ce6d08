"""NLLB from text to text: the fixture's network behind a vocabulary that fits it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeVoice
from hypothesis import given, settings
from hypothesis import strategies as st
from translation.nllb_folder import SENTENCES, TEXTS, language_ids
from translation.nllb_models import random_config, random_model, reference

from mlx_speak.errors import UnknownLanguageError
from mlx_speak.pipeline import Pipeline
from mlx_speak.text import TextEvent
from mlx_speak.translation import nllb
from mlx_speak.translation.nllb import NLLB, NLLBTranslator, Search, load
from mlx_speak.translation.restriction import Vocabulary


@pytest.fixture(scope="module")
def shared(folder: Path) -> NLLBTranslator:
    """For tests that leave it as it is."""
    return load(folder)


@pytest.fixture
def translator(folder: Path) -> NLLBTranslator:
    return load(folder)


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
def test_thirty_thousand_characters(translator: NLLBTranslator, unit: str) -> None:
    """A second on two cores: no step is slower than linear in the text."""
    start = time.perf_counter()
    result = translator.translate((unit * 30_000)[:30_000], "en", "pt")
    assert time.perf_counter() - start < 60
    assert len(result.tokens) > 300
    assert len(result.warning) < 1000


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
