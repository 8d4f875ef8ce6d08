"""The tokens in which a language is written: `python -m mlx_speak.convert vocabulary FOLDER`.

A step of NLLB spends most of its time on the rows of 256,206 tokens, of which a language needs a
tenth. `mlx_speak.translation.restriction` guesses with the rows of this list alone, and checks the
guesses against all: a token that the list lacks costs time, and never changes a translation.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.languages import Language
from mlx_speak.model_folder import read_config

from .corpora import read_corpus
from .report import SILENT, Reporter
from .safetensors_file import write_safetensors

if TYPE_CHECKING:
    from mlx_speak.translation.tokenizer import NLLBTokenizer

SIZE = 20_000
"""Tokens in a vocabulary: a thirteenth of NLLB's table."""

WORDS = 1_000_000
"""The frequencies of words count as a text of so many tokens."""

GIVEN = 10
"""A token of the user's texts counts as so many of the packages'."""

HELD_OUT = 10
"""Of the sentences, every one of that number is not counted but tells the coverage."""


@dataclass(frozen=True)
class Built:
    """A vocabulary that has been written."""

    path: Path
    count: int
    coverage: float | None
    """Of the tokens of sentences that were not counted, the share in the vocabulary; None where
    there were too few sentences."""


def build_vocabulary(
    folder: str | Path,
    language: str | Language,
    *,
    texts: Sequence[str | Path] = (),
    size: int = SIZE,
    reporter: Reporter = SILENT,
) -> Built:
    """Write the vocabulary of a target language into a converted folder.

    Args:
        folder: of NLLB-200 or M2M100; nothing else in it changes.
        language: in any notation.
        texts: UTF-8 files in that language, as close as possible to what will be translated.
        size: tokens at most; those that must be in are in even so.

    Raises:
        UnknownLanguageError: the model does not know the language.
        ModelNotFoundError: a file is missing, a package cannot be fetched, or nothing is known of
            the language.
        ModelFormatError: the folder is of another kind, or a file is not text.
    """
    from mlx_speak.translation.tokenizer import NLLBTokenizer

    folder, language = Path(folder).expanduser(), Language.parse(language)
    tokenizer = NLLBTokenizer.load(folder, read_config(folder, "nllb"))
    language_token = tokenizer.language_token_id(language)
    sources = {str(path): _read_lines(Path(path).expanduser()) for path in texts}
    corpus = read_corpus(language, reporter)
    shipped = [sentence for part in corpus.sentences.values() for sentence in part]
    given = [line for lines in sources.values() for line in lines]
    if not (corpus.words or shipped or given):
        raise ModelNotFoundError(
            f"no package holds text in {language.name}: give files of it with --text"
        )
    reporter.start("vocabulary", 1)
    reporter.step("vocabulary", "counting")
    counted = [[x for i, x in enumerate(part) if i % HELD_OUT] for part in (given, shipped)]
    held_out = [x for part in (given, shipped) for x in part[::HELD_OUT]]
    scores = total(
        (count_sentences(tokenizer, counted[0]), GIVEN),
        (count_sentences(tokenizer, counted[1]), 1),
        (count_words(tokenizer, corpus.words), WORDS),
    )
    always = {language_token, *indispensable(tokenizer, [*given, *shipped, *corpus.words])}
    ids = choose(scores, always, size)
    tokens = [token for sentence in held_out for token in tokenizer.tokenize(sentence)]
    coverage = float(np.isin(tokens, ids).mean()) if len(tokens) >= 100 else None
    metadata = {
        "language": language.flores,
        "count": str(len(ids)),
        "sources": "; ".join([*sources, *map(str, corpus.packages)]),
        "license": "; ".join(package.licence for package in corpus.packages),
    }
    path = folder / "vocabulary" / f"{language.flores}.safetensors"
    _write(path, ids, metadata)
    reporter.done("vocabulary", "is written")
    return Built(path, len(ids), coverage)


def total(*parts: tuple[Mapping[int, float], float]) -> dict[int, float]:
    """The sum of some counts of tokens, each times its factor."""
    summed: dict[int, float] = {}
    for counts, factor in parts:
        for token, count in counts.items():
            summed[token] = summed.get(token, 0.0) + factor * count
    return summed


def count_sentences(tokenizer: NLLBTokenizer, sentences: Iterable[str]) -> dict[int, float]:
    """How often each token is used in sentences."""
    counts: Counter[int] = Counter()
    for sentence in sentences:
        counts.update(tokenizer.tokenize(sentence))
    return dict(counts)


def count_words(tokenizer: NLLBTokenizer, words: Mapping[str, float]) -> dict[int, float]:
    """The share of each token in text of words of these frequencies.

    wordfreq has its words in small letters, so each is counted as it would begin a sentence too;
    and behind a bracket, which is how it looks within a sentence of a script without spaces.
    """
    counts: dict[int, float] = {}
    bracket = set(tokenizer.tokenize("("))
    for word, frequency in words.items():
        forms = [(word, 1.0), (f"({word}", 0.1)]
        if word.capitalize() != word:
            forms.append((word.capitalize(), 0.1))
        for form, share in forms:
            for token in tokenizer.tokenize(form):
                if token not in bracket:
                    counts[token] = counts.get(token, 0.0) + share * frequency
    every = sum(counts.values())
    return {token: count / every for token, count in counts.items()}


def indispensable(tokenizer: NLLBTokenizer, text: Iterable[str]) -> set[int]:
    """`<s>`, `<pad>`, `</s>`, `<unk>`, digits, punctuation, and the letters of the text's scripts.

    With all its letters any word can be spelled, if not in the best way.
    """
    used = Counter(character for part in text for character in part)
    letters: Counter[str] = Counter()
    for character, count in used.items():
        if character.isalpha():
            letters[_script(character)] += count
    total = sum(letters.values())
    # Of scripts of thousands of characters, the text must tell which are used.
    scripts = {s for s, n in letters.items() if n > total / 100} - {"CJK", "HANGUL", "YI"}
    characters = {c for c in used if not c.isalpha()}
    characters |= {c for c in _letters_and_signs() if c < "\u0080" or _script(c) in scripts}
    tokens = {0, 1, 2, 3}
    for character in characters:
        for form in (character, f"0{character}", f"({character}"):
            tokens.update(tokenizer.tokenize(form))
    return tokens


@cache
def _letters_and_signs() -> tuple[str, ...]:
    """Of every script, the letters, marks, digits and punctuation."""
    kinds = ("L", "M", "Nd", "P", "S")
    return tuple(c for c in map(chr, range(0x10000)) if unicodedata.category(c).startswith(kinds))


@cache
def _script(character: str) -> str:
    """Its script, which in Unicode the name of a letter begins with ("ARABIC-INDIC DIGIT ONE")."""
    return unicodedata.name(character, "").partition(" ")[0].partition("-")[0]


def choose(scores: Mapping[int, float], always: Iterable[int], size: int) -> np.ndarray:
    """The ids of a vocabulary, ascending, int32: those that must be in, and the most used ones."""
    chosen = set(always)
    for token in sorted(scores, key=lambda token: (-scores[token], token)):
        if len(chosen) >= size:
            break
        chosen.add(token)
    return np.array(sorted(chosen), np.int32)


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelNotFoundError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"{path} is not text in UTF-8: {error}") from None
    return [line for line in text.splitlines() if line.strip()]


def _write(path: Path, ids: np.ndarray, metadata: Mapping[str, str]) -> None:
    """Write the file whole or not at all."""
    made = not path.parent.exists()
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        write_safetensors(partial, {"ids": ids}, metadata=metadata)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
        if made and not path.exists():
            path.parent.rmdir()
