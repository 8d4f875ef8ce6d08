"""Which tokens stand for which languages in an NLLB-200 or M2M100 checkpoint.

A fine-tuned model may have dropped languages or learnt others. Its tokenizer files say so, each in
another way; where there are none, or they do not speak of languages, the original numbering holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlx_speak.errors import ModelFormatError, UnknownLanguageError
from mlx_speak.model_folder import read_json


def tokenizer_kind(folder: Path, config: Mapping[str, Any]) -> str:
    """How the vocabulary is numbered: "nllb" by itself, "m2m_100" by a dictionary.

    "small100" is as the latter, but used otherwise (Mohammadshahi et al. 2022): the target language
    stands before the source. Only its name tells such a checkpoint from others.
    """
    if not (folder / "vocab.json").is_file():
        return "nllb"
    path = folder.absolute()  # in the hub's cache, REPOSITORY/snapshots/COMMIT
    names = f"{path.name} {path.parents[1].name} {config.get('_name_or_path')}".lower()
    own = (folder / "tokenization_small100.py").is_file()
    return "small100" if own or re.search(r"small-?100\b", names) else "m2m_100"


def read_language_token_ids(folder: Path, kind: str, vocab_size: int) -> dict[str, int]:
    """Token id of each language of a checkpoint, by FLORES-200 code, in the order of the ids.

    Args:
        folder: in the hub's layout.
        kind: from `tokenizer_kind`.
        vocab_size: rows of the model's table.

    Raises:
        ModelFormatError: a tokenizer file is damaged, or gives two languages one token.
    """
    from mlx_speak.translation.tokenizer import language_token_ids

    first = _first(folder, kind)
    found: dict[str, int] = {}
    for token, number in _added_tokens(folder, first):
        code = _flores(token)
        if code and type(number) is int and first <= number < vocab_size:
            found[code] = number
    if min(found.values(), default=None) != first:  # none, or only what was added to the original
        original, taken = language_token_ids(kind, first), set(found.values())
        found |= {code: number for code, number in original.items() if number not in taken}
    if len(set(found.values())) < len(found):
        raise ModelFormatError(f"{folder}: its tokenizer gives two languages the same token")
    ordered = sorted(found.items(), key=lambda item: item[1])
    return {code: number for code, number in ordered if number < vocab_size}


def _first(folder: Path, kind: str) -> int:
    """The id after those of the vocabulary's pieces."""
    if kind != "nllb":
        return len(read_json(folder / "vocab.json"))
    path = folder / "sentencepiece.bpe.model"
    if not path.is_file():
        return 256001  # NLLB-200's own
    import sentencepiece

    try:
        return len(sentencepiece.SentencePieceProcessor(model_file=str(path))) + 1
    except (OSError, RuntimeError) as error:
        raise ModelFormatError(f"{path} is not a SentencePiece model: {error}") from None


def _added_tokens(folder: Path, first: int) -> Iterator[tuple[str, int]]:
    """Tokens beside the vocabulary's pieces and their ids, the most trustworthy file last."""
    files = {}
    for name in ("special_tokens_map", "tokenizer_config", "added_tokens", "tokenizer"):
        path = folder / f"{name}.json"
        files[name] = read_json(path) if path.is_file() else {}
    try:
        special = files["special_tokens_map"].get("additional_special_tokens", [])
        texts = [token["content"] if isinstance(token, dict) else token for token in special]
        languages = [text for text in texts if _flores(text)]
        yield from zip(languages, range(first, first + len(languages)), strict=True)
        for number, token in files["tokenizer_config"].get("added_tokens_decoder", {}).items():
            yield token["content"], int(number)
        yield from files["added_tokens"].items()
        for token in files["tokenizer"].get("added_tokens", []):
            yield token["content"], token["id"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFormatError(f"{folder}: its tokenizer files are damaged: {error!r}") from None


def _flores(token: str) -> str | None:
    """The language of a token "eng_Latn" (NLLB) or "__en__" (M2M100)."""
    from mlx_speak.translation.tokenizer import m2m_100_language

    if re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", token):
        return token
    if match := re.fullmatch(r"__([a-z]{2,3})__", token):
        try:
            return m2m_100_language(match[1]).flores
        except UnknownLanguageError:
            return None
    return None
