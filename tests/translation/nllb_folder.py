"""Converted NLLB folders to test with: the fixture's network and a vocabulary that fits it."""

from __future__ import annotations

import dataclasses
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import sentencepiece
from mlx.utils import tree_flatten
from translation.nllb_models import tiny

from mlx_speak.languages import all_languages
from mlx_speak.translation.nllb_model import NLLB

PIECES = 205
"""Of SentencePiece; fairseq has one token more, and the fixture's languages begin with that."""

LANGUAGES = ("eng_Latn", "por_Latn", "jpn_Jpan", "deu_Latn", "zho_Hans", "arb_Arab", "hin_Deva")
"""Some of the 50 languages of the fixture, and the first of them."""

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "She sells 1 024 shells for 75% of 3.50 € (or less), doesn't she?",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich!",
    "À noite, vovô Kowalsky vê o ímã cair no pé do pinguim queixoso; e foge.",
    "いろはにほへと ちりぬるを。 我がよたれぞ、常ならむ？",
    "敏捷的棕色狐狸跳过了懒狗。",
)

_WORDS = sorted({word.strip(".,!?;()") for text in TEXTS[:4] for word in text.split()})
SENTENCES = [
    " ".join(_WORDS[i % len(_WORDS)] for i in range(start, start + 1 + start % 7))
    for start in range(40)
]
"""Of one to seven words of `TEXTS`."""


@cache
def vocabulary(pieces: int = PIECES, **options: Any) -> bytes:
    """A SentencePiece model over `TEXTS`, of the kind that NLLB has."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 4),
        model_writer=model,
        model_type="bpe",
        vocab_size=pieces,
        character_coverage=1.0,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def dictionary(model: bytes) -> dict[str, int]:
    """A `vocab.json` for M2M100, which numbers the pieces otherwise than SentencePiece does."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = sorted(processor.id_to_piece(i) for i in range(3, len(processor)))
    return {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])}


def language_ids(first: int = PIECES + 1, count: int = 50) -> dict[str, int]:
    """Tokens for `LANGUAGES` and as many others as there are places."""
    others = [x.flores for x in all_languages() if x.flores not in LANGUAGES]
    return {code: first + i for i, code in enumerate([*LANGUAGES, *others][:count])}


def write_folder(
    folder: Path, model: NLLB | None = None, *, tokenizer: str = "nllb", **changes: Any
) -> Path:
    """What `mlx_speak.convert` makes of a checkpoint.

    Args:
        folder: written to; its parents are made.
        model: with a table of `PIECES` + 54 rows or more; by default the fixture's.
        tokenizer: "nllb" or "m2m_100".
        changes: to config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = model or tiny()[0]
    config = dataclasses.asdict(model.config) | {
        "model_type": "nllb",
        "tokenizer": tokenizer,
        "language_token_ids": language_ids(),
        "license": "none",
        "source": "tests/fixtures/nllb_tiny",
    }
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    (folder / "sentencepiece.bpe.model").write_bytes(vocabulary())
    if tokenizer == "m2m_100":
        pieces = json.dumps(dictionary(vocabulary()), ensure_ascii=False)
        (folder / "vocab.json").write_text(pieces, encoding="utf-8")
    return folder
