"""Loops that NLLB falls into: noticed, tried again, cut, and said to be."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from fakes import FakeVoice
from mlx.utils import tree_flatten
from translation.nllb_folder import SENTENCES

from mlx_speak.pipeline import Pipeline
from mlx_speak.text import TextEvent
from mlx_speak.translation.guards import Guard
from mlx_speak.translation.nllb import NLLBTranslator, load


@pytest.fixture
def forgetful(folder: Path) -> NLLBTranslator:
    """The model with half its memory of what it has said: it falls into loops."""
    translator = load(folder)
    weights = tree_flatten(translator.model.parameters())
    halved = [(k, v / 2) for k, v in weights if k.endswith("self_attention.output.weight")]
    translator.model.load_weights(halved, strict=False)
    return translator


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


def test_a_pipeline_carries_warnings(forgetful: NLLBTranslator) -> None:
    results = [list(forgetful.stream_translate(s, "en", "pt"))[-1] for s in SENTENCES[:20]]
    (flagged,) = [r for r in results if r.warning and r.text][:1]
    events = [TextEvent(flagged.source_text, "text", "m"), TextEvent("", "end", "m")]
    with Pipeline(forgetful, FakeVoice(), "en", "pt", output="null") as pipe:
        (said,) = pipe.run(events)
    assert (said.text, said.warning) == (flagged.text, flagged.warning)
