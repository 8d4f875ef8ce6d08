"""Checkpoints of NLLB-200, damaged in every way: refused by name, and nothing is left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_speak.convert import convert, safetensors_file
from nllb_checkpoint import LAYOUTS, save, tensors, write_checkpoint
from support import package

from mlx_speak.errors import ModelFormatError, ModelNotFoundError


def wrong(name: str, change: Any) -> dict[str, mx.array]:
    weights = tensors()
    if change is None:
        del weights[name]
    else:
        weights[name] = change(weights.get(name))
    return weights


def with_value(value: float) -> Any:
    def change(array: mx.array) -> mx.array:
        changed = np.array(array)
        changed.flat[-1] = value
        return mx.array(changed)

    return change


FC1 = "model.encoder.layers.1.fc1.weight"
QUERY = "model.decoder.layers.0.encoder_attn.q_proj.bias"


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        (FC1, None, rf"{FC1} is missing"),
        (QUERY, None, rf"{QUERY} is missing"),
        ("model.shared.weight", None, r"model\.shared\.weight is missing"),
        ("lora.A", lambda _: mx.zeros(3), r"model\.lora\.A is unknown"),
        (FC1, lambda x: x.T, rf"{FC1} has the shape \(32, 64\), not \(64, 32\)"),
        (QUERY, lambda x: x[None], rf"{QUERY} has the shape \(1, 32\), not \(32,\)"),
        ("model.shared.weight", lambda x: x[:-1], r"shape \(258, 32\), not \(259, 32\)"),
        (FC1, with_value(np.nan), rf"{FC1} holds a NaN or an infinity"),
        ("model.shared.weight", with_value(-np.inf), r"shared\.weight holds a NaN or an infinity"),
        (FC1, lambda x: x.astype(mx.int8), rf"{FC1} holds int8"),
    ],
)
def test_weights_that_are_wrong(tmp_path: Path, name: str, change: Any, match: str) -> None:
    source = write_checkpoint(tmp_path / "hub", weights=wrong(name, change))
    with pytest.raises(ModelFormatError, match=match):
        convert(source, tmp_path / "model", bits=8)
    assert os.listdir(tmp_path) == ["hub"]


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"activation_function": "gelu"}, "activation_function is 'gelu'"),
        ({"d_model": 33}, "d_model is 33"),
        ({"encoder_layers": 3}, r"encoder\.layers\.2\..* is missing"),
        ({"decoder_layers": 1}, r"decoder\.layers\.1\..* is unknown"),
        ({"vocab_size": "many"}, "vocab_size is 'many'"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"model_type": "mbart"}, "cannot read"),
    ],
)
def test_configs_that_are_wrong(tmp_path: Path, config: dict, match: str) -> None:
    source = write_checkpoint(tmp_path / "hub", **config)
    with pytest.raises(ModelFormatError, match=match):
        convert(source, tmp_path / "model")
    assert os.listdir(tmp_path) == ["hub"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shards_that_are_wrong(tmp_path: Path, layout: str) -> None:
    def refused(error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            convert(source, tmp_path / "model")
        assert os.listdir(tmp_path) == ["hub"]

    source = write_checkpoint(tmp_path / "hub", layout, shards=2)
    stem, _, suffix = layout.partition(".")
    first, second = (source / f"{stem}-0000{i}-of-00002.{suffix}" for i in (1, 2))
    index = source / f"{layout}.index.json"
    places = json.loads(index.read_text())

    second.rename(source / "away")
    refused(ModelNotFoundError, rf"lists {second.name}, which is missing")
    (source / "away").rename(second)

    second.write_bytes(second.read_bytes()[:-2000])
    refused(ModelFormatError, rf"{second.name} is not a readable")
    save(second, {"lm_head.weight": tensors(layout)["model.shared.weight"]})
    refused(ModelFormatError, r"lists .*, which none of its shards holds")
    second.write_bytes(first.read_bytes())
    refused(ModelFormatError, r"which another shard holds too")

    for damaged, match in (
        ("{", "damaged"),
        ("{}", "no weight_map"),
        ('{"weight_map": {"x": 3}}', "no weight_map"),
        (json.dumps(places).replace(second.name, f"../{second.name}"), "not a file beside it"),
    ):
        index.write_text(damaged)
        refused(ModelFormatError, match)
    index.unlink()
    refused(ModelNotFoundError, "holds no weights")


def test_a_torch_file_that_holds_something_else(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hub", "pytorch_model.bin", weights={"a": "b"})
    with pytest.raises(ModelFormatError, match="'a' is not a tensor"):
        convert(source, tmp_path / "model")
    package("torch").save([1], source / "pytorch_model.bin")
    with pytest.raises(ModelFormatError, match="no tensors by name"):
        convert(source, tmp_path / "model")


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("options", [{}, {"bits": 8, "group_size": 32}])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, replaces: bool, options: dict
) -> None:
    source = write_checkpoint(tmp_path / "hub")
    if replaces:
        convert(source, tmp_path / "model")
    before = {p: p.read_bytes() for p in (tmp_path / "model").glob("*")}
    written = []
    blocks = safetensors_file._blocks

    def failing(array: Any) -> Any:
        written.append(array.shape)
        if len(written) > after + 26 * bool(options):
            raise OSError(28, "No space left on device")
        return blocks(array)

    monkeypatch.setattr(safetensors_file, "_blocks", failing)
    with pytest.raises(OSError, match="No space left"):
        convert(source, tmp_path / "model", **options)
    assert sorted(os.listdir(tmp_path)) == ["hub", *(["model"] if replaces else [])]
    assert {p: p.read_bytes() for p in (tmp_path / "model").glob("*")} == before


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("tokenizer.json", '{"added_tokens": 3}', "tokenizer files are damaged"),
        ("tokenizer.json", '{"added_tokens": [{"id": 206}]}', "tokenizer files are damaged"),
        ("tokenizer.json", "{", "damaged"),
        ("added_tokens.json", '{"eng_Latn": 206, "deu_Latn": 206}', "the same token"),
        ("sentencepiece.bpe.model", "no", "not a SentencePiece model"),
    ],
)
def test_damaged_tokenizers(tmp_path: Path, name: str, content: str, match: str) -> None:
    source = write_checkpoint(tmp_path / "hub")
    (source / "tokenizer.json").unlink()
    (source / name).write_text(content)
    with pytest.raises(ModelFormatError, match=match):
        convert(source, tmp_path / "model")
