"""SentencePiece vocabularies, one or two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from ..errors import ModelFormatError, ModelNotFoundError


class Tokenizer:
    """Text to source tokens, and target tokens to text."""

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


def _read(path: Path) -> sentencepiece.SentencePieceProcessor:
    if not path.is_file():
        raise ModelNotFoundError(f"there is no vocabulary {path}")
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ModelFormatError(f"{path} is not a SentencePiece model: {error}") from None
