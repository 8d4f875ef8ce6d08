"""Folders of NLLB: either tokenizer, vocabularies, precisions, and damaged in every way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from translation.nllb_folder import PIECES, SENTENCES, TEXTS, language_ids, vocabulary, write_folder
from translation.nllb_models import tiny

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.translation.nllb import load, load_model


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


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
