"""Text to the ids that XTTS's GPT reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import MissingExtraError, ModelFormatError, UnknownLanguageError
from ...text.sentences import split_sentences
from .text import LANGUAGES, clean
from .text.wording import LONGEST


class XTTSTokenizer:
    """A byte pair encoding of cleaned text, with a token for the language in front.

    Args:
        path: XTTS's `vocab.json`, in the format of Hugging Face's tokenizers.

    Raises:
        MissingExtraError: `tokenizers` is not installed.
        ModelFormatError: the file is damaged, or of another model.
    """

    def __init__(self, path: Path):
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("XTTS", "xtts") from error
        try:
            self._encoding = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises nothing more particular
            raise ModelFormatError(f"{path} is not a tokenizer: {error}") from error
        self._has_language = {
            code: self._encoding.token_to_id(_mark(code)) is not None for code in LANGUAGES
        }
        if not any(self._has_language.values()):
            raise ModelFormatError(f"{path} has no token for a language: it is not XTTS's")

    @property
    def languages(self) -> list[str]:
        """What the vocabulary has a token for, as ISO 639-1 codes; "en" first."""
        codes = [code for code in LANGUAGES if self._has_language[code]]
        return sorted(codes, key=lambda code: code != "en")

    def encode(self, text: str, code: str) -> list[int]:
        """Ids of a text, cleaned here; without START and STOP.

        Args:
            code: ISO 639-1, one of `languages`.

        Raises:
            UnknownLanguageError: the vocabulary has no token for it.
            MissingExtraError: numbers, or the language's script, need a package.
        """
        if not self._has_language.get(code):
            raise UnknownLanguageError(
                f"this XTTS does not read {code!r}; it reads {', '.join(self.languages)}"
            )
        marked = _mark(code) + clean(text, code)
        ids: list[int] = self._encoding.encode(marked.replace(" ", "[SPACE]")).ids
        return ids

    def parts(self, text: str, code: str, longest: int) -> Iterator[tuple[str, list[int]]]:
        """Cut a text into what the model can read at once, between sentences where possible.

        Args:
            longest: ids that it can.

        Yields:
            The parts, which joined are the text again, each with its ids.
        """
        limit, part = LONGEST[code], ""
        for sentence in split_sentences(text, code, limit):
            if part and len((part + sentence).rstrip()) > limit:
                yield from self._fitting(part, code, longest)
                part = ""
            part += sentence
        if part:
            yield from self._fitting(part, code, longest)

    def _fitting(self, part: str, code: str, longest: int) -> Iterator[tuple[str, list[int]]]:
        """A part, or where its numbers become too many words, halves of it."""
        ids = self.encode(part, code)
        if len(ids) <= longest or len(part) < 2:
            yield part, ids[:longest]
            return
        for half in _halves(part, code):
            yield from self._fitting(half, code, longest)


def _halves(part: str, code: str) -> list[str]:
    pieces = split_sentences(part, code, max(len(part.rstrip()) // 2, 1))
    return pieces if len(pieces) > 1 else [part[: len(part) // 2], part[len(part) // 2 :]]


def _mark(code: str) -> str:
    return "[zh-cn]" if code == "zh" else f"[{code}]"
