"""Text to tokens and back: SentencePiece vocabularies, under the numbering of each model."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sentencepiece

from ..errors import ModelFormatError, ModelNotFoundError, UnknownLanguageError
from ..languages import Language, all_languages, nearest
from ..model_folder import read_json


class Tokenizer:
    """Text to source tokens, and target tokens to text, numbered as SentencePiece does."""

    def __init__(self, source: Path, target: Path | None = None):
        """Read the source language's vocabulary file, and the target's where it has its own."""
        self._source = _read(source)
        self._target = self._source if target is None else _read(target)

    @property
    def vocab_sizes(self) -> tuple[int, int]:
        return len(self._source), len(self._target)

    @property
    def eos_token_id(self) -> int:
        return self._source.eos_id()

    def encode(self, text: str) -> list[int]:
        """Source tokens of a text, without an end token."""
        return self._source.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of target tokens."""
        return self._target.decode(list(tokens))


class NLLBTokenizer:
    """The one vocabulary of all languages of NLLB-200 or M2M100, and their languages.

    fairseq numbers it: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then the pieces; NLLB takes them in
    SentencePiece's order, M2M100 in that of a dictionary (`vocab.json`). After them come the
    languages, and what only training needed (`<mask>`, and rows that make the table's size even).

    Text is text: "</s>", "<unk>" or "eng_Latn" in it are spelled, and mean nothing special.
    """

    def __init__(
        self,
        sentencepiece_file: Path,
        language_token_ids: Mapping[str, int],
        pieces: Mapping[str, int] | None = None,
    ):
        """Read a vocabulary.

        Args:
            sentencepiece_file: `sentencepiece.bpe.model`.
            language_token_ids: token id of each language, by FLORES-200 code.
            pieces: M2M100's dictionary, piece to token id; None for NLLB.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelFormatError: it is damaged, or the ids contradict it.
        """
        self._model = model = _read(sentencepiece_file)
        if (model.unk_id(), model.bos_id(), model.eos_id()) != (0, 1, 2):
            raise ModelFormatError(f"{sentencepiece_file} is no vocabulary of NLLB-200 or M2M100")
        names = [model.id_to_piece(i) for i in range(len(model))]
        if pieces is None:
            pieces = {name: i + 1 for i, name in enumerate(names)}
        self._ids = [UNKNOWN, *(pieces.get(name, UNKNOWN) for name in names[1:])]
        self._pieces = {token: i for i, token in enumerate(self._ids) if token > UNKNOWN}
        first = 1 + max(pieces.values())
        self._languages = _check_languages(sentencepiece_file, language_token_ids, first)
        self.vocab_size = 1 + max(language_token_ids.values())
        """Ids up to the last language's; a model's table may have a few rows more."""

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> NLLBTokenizer:
        """Read the vocabulary of a converted folder, whose config.json is `config`.

        Raises:
            ModelNotFoundError: a file is missing.
            ModelFormatError: a file is damaged, or does not belong to the others.
        """
        kind, languages = config.get("tokenizer"), config.get("language_token_ids")
        if kind not in ("nllb", "m2m_100") or not isinstance(languages, dict):
            raise ModelFormatError(
                f"{folder / 'config.json'} names no tokenizer: it needs 'tokenizer' (found "
                f"{kind!r}) and 'language_token_ids'. Convert the checkpoint again."
            )
        pieces = None
        if kind == "m2m_100":
            path = folder / "vocab.json"
            if not path.is_file():
                raise ModelNotFoundError(f"there is no vocabulary {path}")
            pieces = read_json(path)
            if {type(i) for i in pieces.values()} != {int} or (
                sorted(pieces.values()) != list(range(len(pieces)))
            ):
                raise ModelFormatError(f"{path} is damaged: its ids are not 0 to {len(pieces) - 1}")
        return cls(folder / "sentencepiece.bpe.model", languages, pieces)

    @property
    def languages(self) -> tuple[Language, ...]:
        """The languages that have a token, in their tokens' order."""
        return tuple(Language.parse(code) for code in self._languages)

    def language_token_id(self, language: Language) -> int:
        """The token that stands before a text of that language.

        Raises:
            UnknownLanguageError: the model does not know it.
        """
        try:
            return self._languages[language.flores]
        except KeyError:
            near = ", ".join(x.tag for x in nearest(language, self.languages))
            raise UnknownLanguageError(
                f"the model has no token for {language.name} ({language.flores})"
                + (f"; near are {near}" if near else "")
            ) from None

    def encode(self, text: str, source: Language) -> list[int]:
        """What the encoder reads: language, pieces, `</s>`."""
        return [self.language_token_id(source), *self.tokenize(text), END]

    def tokenize(self, text: str) -> list[int]:
        """The pieces of a text, without language or end."""
        return [self._ids[piece] for piece in self._model.encode(text.strip())]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens; those that are no text, `<unk>` and strange numbers too, are left out."""
        found = [self._pieces[token] for token in tokens if token in self._pieces]
        return self._model.decode(found).strip()


END, UNKNOWN = 2, 3
"""Token ids of `</s>` and `<unk>`."""


def language_token_ids(tokenizer: str, first: int) -> dict[str, int]:
    """The numbering of the languages in the original checkpoints, by FLORES-200 code.

    Args:
        tokenizer: "nllb" or "m2m_100".
        first: how many tokens the vocabulary has before the languages: 256001 in NLLB-200 (one
            more than SentencePiece has pieces), 128004 in M2M100 (the size of `vocab.json`).
    """
    if tokenizer == "nllb":
        codes = [language.flores for language in all_languages()]
    else:
        codes = [m2m_100_language(code).flores for code in _M2M_100.split()]
    return {code: first + i for i, code in enumerate(codes)}


def m2m_100_language(code: str) -> Language:
    """The language that M2M100 calls by a code.

    Raises:
        UnknownLanguageError: a code that is not known.
    """
    return Language.parse("nso" if code == "ns" else code)  # ns is fairseq's own, no ISO code


# The languages of M2M100 in its order, from FAIRSEQ_LANGUAGE_CODES in transformers.
_M2M_100 = (
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu "
    "ha he hi hr ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr "
    "ms my ne nl no ns oc or pa pl ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr "
    "uk ur uz vi wo xh yi yo zh zu"
)


def _check_languages(path: Path, ids: Mapping[str, int], first: int) -> dict[str, int]:
    """The languages in the order of their ids, the least of which must be `first`.

    A fine-tuned model may have languages that have no name here: nobody can ask for them.
    """
    for code, token in ids.items():
        if not re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", code) or type(token) is not int:
            raise ModelFormatError(f"language_token_ids: {code!r}: {token!r} is no language")
    if len(set(ids.values())) != len(ids):
        raise ModelFormatError("language_token_ids: two languages have the same token")
    if min(ids.values(), default=None) != first:
        raise ModelFormatError(
            f"{path}: the vocabulary is of another model: after it, languages would begin with "
            f"token {first}, but those of the model do with {min(ids.values(), default=None)}"
        )
    known = {}
    for code in sorted(ids, key=lambda code: ids[code]):
        with contextlib.suppress(UnknownLanguageError):
            known[Language.parse(code).flores] = ids[code]
    return known


def _read(path: Path) -> sentencepiece.SentencePieceProcessor:
    if not path.is_file():
        raise ModelNotFoundError(f"there is no vocabulary {path}")
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ModelFormatError(f"{path} is not a SentencePiece model: {error}") from None
