"""Checkpoints of NLLB-200 and M2M100, in every layout and precision."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_speak.convert import convert, detect
from mlx_speak.convert.__main__ import main
from mlx_speak.convert.nllb import TABLES, parameter_names
from nllb_checkpoint import LAYOUTS, tensors, write_checkpoint
from support import package
from translation.nllb_folder import dictionary, language_ids, vocabulary
from translation.nllb_models import random_config, tiny

from mlx_speak import hub
from mlx_speak.errors import ModelFormatError
from mlx_speak.model_folder import read_config
from mlx_speak.translation.nllb_model import NLLB

FILES = ["config.json", "generation_config.json", "model.safetensors", "sentencepiece.bpe.model"]


def difference(model: NLLB) -> float:
    """Between the logits of a model and transformers' of the fixture, at most."""
    oracle = tiny()[1]
    input_ids, attention_mask, decoder_input_ids = (
        mx.array(oracle[name].astype(np.int32))
        for name in ("input_ids", "attention_mask", "decoder_input_ids")
    )
    logits = model(input_ids, decoder_input_ids, attention_mask).astype(mx.float32)
    return float(np.abs(np.array(logits) - oracle["logits"]).max())


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_model(tmp_path: Path, layout: str, shards: int) -> None:
    """1e-5: float32 sums in another order; 3e-6 was measured."""
    source = write_checkpoint(tmp_path / "hub", layout, shards=shards)
    assert detect(source) == "nllb"
    folder = convert(source, tmp_path / "model")
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert difference(hub.load_model(folder)) <= 1e-5
    config = read_config(folder)
    assert config["model_type"] == "nllb"
    assert config["tokenizer"] == "nllb"
    assert config["dtype"] == "float32"
    assert config["language_token_ids"] == language_ids()
    assert {"d_model", "encoder_layers", "decoder_ffn_dim"} <= config.keys()


def test_safetensors_are_preferred(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hub")
    (source / "pytorch_model.bin").write_bytes(b"not looked at")
    convert(source, tmp_path / "model")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "bound"), [("float16", 2e-2), ("bfloat16", 2e-1)])
def test_half_precision_stays_as_it_is(
    tmp_path: Path, layout: str, dtype: str, bound: float
) -> None:
    """A checkpoint in half precision keeps its bits; logits reach 20, of which 1/512 is rounded."""
    weights = tensors(layout)
    if layout == "model.safetensors":
        weights = {name: x.astype(getattr(mx, dtype)) for name, x in weights.items()}
    else:
        weights = {name: x.to(getattr(package("torch"), dtype)) for name, x in weights.items()}
    folder = convert(write_checkpoint(tmp_path / "hub", layout, weights=weights), tmp_path / "out")
    assert read_config(folder)["dtype"] == dtype
    model = hub.load_model(folder)
    expected = tensors()["model.shared.weight"].astype(getattr(mx, dtype))
    assert mx.array_equal(model.embedding.weight, expected)
    assert difference(model) <= bound


def test_mixed_and_double_precision_become_float32(tmp_path: Path) -> None:
    torch = package("torch")
    weights = tensors("pytorch_model.bin")
    weights = {
        name: x.to(torch.bfloat16 if "fc1" in name else torch.float64)
        for name, x in weights.items()
    }
    source = write_checkpoint(tmp_path / "hub", "pytorch_model.bin", weights=weights)
    folder = convert(source, tmp_path / "model")
    stored = mx.load(str(folder / "model.safetensors"))
    assert isinstance(stored, dict)
    assert {array.dtype for array in stored.values()} == {mx.float32}
    name = "model.encoder.layers.0.fc1.weight"
    ours = stored["encoder.layers.0.feed_forward.up.weight"]
    np.testing.assert_array_equal(np.array(ours), weights[name].float().numpy())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_another_type(tmp_path: Path, dtype: str) -> None:
    source = write_checkpoint(tmp_path / "hub")
    folder = convert(source, tmp_path / "model", dtype=dtype)
    stored = mx.load(str(folder / "model.safetensors"))
    assert isinstance(stored, dict)
    for name, theirs in parameter_names(tiny()[0].config).items():
        expected = mx.concatenate([tensors()[x] for x in theirs]).astype(getattr(mx, dtype))
        assert mx.array_equal(stored[name], expected), name


@pytest.mark.parametrize(("bits", "steps"), [(8, 255), (4, 15)])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_fewer_bits(tmp_path: Path, bits: int, steps: int, dtype: str | None) -> None:
    """The tied table too; a weight moves by half a step, scales in bfloat16 by 1/256 of it more."""
    source = write_checkpoint(tmp_path / "hub")
    folder = convert(source, tmp_path / "model", dtype=dtype, bits=bits, group_size=32)
    assert read_config(folder)["quantization"] == {"group_size": 32, "bits": bits}
    model = hub.load_model(folder)
    assert isinstance(model.embedding, nn.QuantizedEmbedding)
    layers = [x for _, x in model.named_modules() if hasattr(x, "scales")]
    norms = [x for _, x in model.named_modules() if isinstance(x, nn.LayerNorm)]
    assert len(layers) == 1 + 2 * 4 + 2 * 7
    assert len(norms) == 2 * 2 + 1 + 2 * 3 + 1
    table = model.embedding
    read = mx.dequantize(table.weight, table.scales, table.biases, 32, bits).astype(mx.float32)
    groups = np.array(tensors()["model.shared.weight"]).reshape(-1, 32)
    span = np.maximum(groups.max(1), 0) - np.minimum(groups.min(1), 0)
    moved = np.abs(np.array(read).reshape(-1, 32) - groups).max(1)
    assert (moved <= (1.1 / steps + (dtype is not None) / 128) * span).all()
    if bits == 8:
        assert difference(model) <= 1.0


def test_a_converted_folder_takes_another_precision(tmp_path: Path) -> None:
    whole = convert(write_checkpoint(tmp_path / "hub"), tmp_path / "whole")
    at_once = convert(tmp_path / "hub", tmp_path / "at-once", bits=8, group_size=32)
    later = convert(whole, tmp_path / "later", bits=8, group_size=32)
    bytes_of = [(x / "model.safetensors").read_bytes() for x in (at_once, later)]
    assert bytes_of[0] == bytes_of[1]
    assert sorted(path.name for path in later.iterdir()) == FILES


@pytest.mark.parametrize("only", TABLES)
def test_one_name_of_the_table_is_enough(tmp_path: Path, only: str) -> None:
    weights = tensors()
    weights[only] = weights.pop("model.shared.weight")
    folder = convert(write_checkpoint(tmp_path / "hub", weights=weights), tmp_path / "model")
    assert difference(hub.load_model(folder)) <= 1e-5


def test_tables_under_all_their_names_must_be_equal(tmp_path: Path) -> None:
    torch = package("torch")
    weights = tensors("pytorch_model.bin")
    shared = weights["model.shared.weight"]
    weights |= dict.fromkeys(TABLES[1:3], shared) | {"lm_head.weight": shared.clone()}
    source = write_checkpoint(tmp_path / "tied", "pytorch_model.bin", weights=weights)
    assert difference(hub.load_model(convert(source, tmp_path / "model"))) <= 1e-5
    weights["lm_head.weight"][-1, -1] = torch.nextafter(shared[-1, -1], torch.tensor(9.0))
    source = write_checkpoint(tmp_path / "untied", "pytorch_model.bin", weights=weights)
    with pytest.raises(ModelFormatError, match=r"lm_head\.weight differs.*not tied"):
        convert(source, tmp_path / "other")


def test_what_is_computed_is_passed_over(tmp_path: Path) -> None:
    weights = tensors()
    positions = mx.full((66, 32), mx.nan)
    weights |= {f"model.{x}coder.embed_positions.weights": positions for x in ("en", "de")}
    weights |= {"model.encoder.version": mx.array([3.0])}
    convert(write_checkpoint(tmp_path / "hub", weights=weights), tmp_path / "model")


def test_a_model_saved_without_its_head(tmp_path: Path) -> None:
    weights = {name.removeprefix("model."): x for name, x in tensors().items()}
    folder = convert(write_checkpoint(tmp_path / "hub", weights=weights), tmp_path / "model")
    assert difference(hub.load_model(folder)) <= 1e-5


TWO = {"rus_Cyrl": 206, "tyv_Cyrl": 207}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {"ace_Arab": 206, "ace_Latn": 207}),
        ({"added_tokens": {"tyv_Cyrl": 207, "<mask>": 258}}, {"ace_Arab": 206, "tyv_Cyrl": 207}),
        ({"added_tokens": TWO | {"<pad>": 1}}, TWO),
        (
            {
                "tokenizer_config": {
                    "added_tokens_decoder": {str(n): {"content": code} for code, n in TWO.items()}
                }
            },
            TWO,
        ),
        ({"special_tokens_map": {"additional_special_tokens": [*TWO, "<x>"]}}, TWO),
        (
            {"special_tokens_map": {"additional_special_tokens": [{"content": x} for x in TWO]}},
            TWO,
        ),
        # Written by a version of transformers that lost the languages' ids.
        ({"added_tokens": {"rus_Cyrl": 3, "tyv_Cyrl": 3}}, {"ace_Arab": 206, "ace_Latn": 207}),
        # Where two files differ, tokenizer.json is right.
        (
            {
                "special_tokens_map": {"additional_special_tokens": [*TWO][::-1]},
                "tokenizer": {"added_tokens": [{"id": n, "content": x} for x, n in TWO.items()]},
            },
            TWO,
        ),
    ],
)
def test_fine_tuned_models_have_languages_of_their_own(
    tmp_path: Path, files: dict[str, Any], expected: dict[str, int]
) -> None:
    source = write_checkpoint(tmp_path / "hub")
    (source / "tokenizer.json").unlink()
    for name, content in files.items():
        (source / f"{name}.json").write_text(json.dumps(content))
    found = read_config(convert(source, tmp_path / "model"))["language_token_ids"]
    if expected is TWO:
        assert found == TWO
    else:
        assert {code: found[code] for code in expected} == expected
        assert list(found.values()) == list(range(206, 259))


def test_m2m100_numbers_its_pieces_by_a_dictionary(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hub", tokenizer=False)
    (source / "sentencepiece.bpe.model").write_bytes(vocabulary())
    (source / "vocab.json").write_text(json.dumps(pieces := dictionary(vocabulary())))
    folder = convert(source, tmp_path / "model")
    config = read_config(folder)
    assert config["tokenizer"] == "m2m_100"
    first = len(pieces)
    assert list(config["language_token_ids"].items())[:3] == [
        ("afr_Latn", first),
        ("amh_Ethi", first + 1),
        ("arb_Arab", first + 2),
    ]
    assert "MIT" in config["license"]
    assert json.loads((folder / "vocab.json").read_text()) == pieces
    tokens = {"additional_special_tokens": ["__en__", "__ns__", "__zz__"]}
    (source / "special_tokens_map.json").write_text(json.dumps(tokens))
    config = read_config(convert(source, tmp_path / "model"))
    assert config["language_token_ids"] == {"eng_Latn": first, "nso_Latn": first + 1}


def test_small100_is_not_taken_for_m2m100(tmp_path: Path, home: Path) -> None:
    """It wants the target language before the source; as M2M100 it would speak nonsense."""
    source = write_checkpoint(tmp_path / "models--alirezamsh--small100" / "snapshots" / "0f")
    (source / "vocab.json").write_text(json.dumps(dictionary(vocabulary())))
    (source / "tokenizer.json").unlink()
    folder = convert(source, tmp_path / "model")
    config = read_config(folder)
    assert (config["tokenizer"], config["license"]) == ("small100", "MIT")
    assert difference(hub.load_model(folder)) <= 1e-5
    with pytest.raises(ModelFormatError, match="small100"):
        hub.load_translator(folder)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_table_is_not_held_in_memory(tmp_path: Path, layout: str) -> None:
    """82 MB of it go through blocks of 8 and 16 MB; MLX holds the table and its few bits."""
    wide = random_config(
        vocab_size=40_000, d_model=512, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=64
    )
    shapes = dict(tree_flatten(NLLB(wide).parameters()))
    weights: dict[str, Any] = {
        name: np.full((shapes[ours].shape[0] // len(names), *shapes[ours].shape[1:]), 0.1, "<f4")
        for ours, names in parameter_names(wide).items()
        for name in names
    }
    of_layout = mx.array if layout == "model.safetensors" else package("torch").from_numpy
    source = write_checkpoint(
        tmp_path / "hub",
        layout,
        weights={name: of_layout(x) for name, x in weights.items()},
        tokenizer=False,
        **dataclasses.asdict(wide),
    )
    del weights, shapes
    tracemalloc.start()
    convert(source, tmp_path / "model")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    convert(source, tmp_path / "eight", bits=8)
    assert mx.get_peak_memory() - before < 1.5 * 4 * 40_000 * 512


@pytest.mark.parametrize(
    ("where", "config", "readme", "license", "origin"),
    [
        ("mine", {}, None, "not stated; NLLB-200 itself is CC-BY-NC-4.0 (non-commercial", "mine"),
        ("mine", {}, "---\ntags:\n- x\nlicense: apache-2.0\n---\n", "APACHE-2.0", "mine"),
        ("mine", {}, '---\nlicense: "cc-by-nc-4.0"\n', "CC-BY-NC-4.0 (non-commercial", "mine"),
        ("mine", {}, "---\ntags: x\n---\nlicense: mit\n", "not stated; NLLB-200 itself", "mine"),
        ("mine", {"_name_or_path": "facebook/m2m100_418M"}, None, "MIT, that of face", "mine"),
        (
            "models--facebook--nllb-200-3.3B/snapshots/0123abcd",
            {},
            None,
            "CC-BY-NC-4.0 (non-commercial use only)",
            "https://huggingface.co/facebook/nllb-200-3.3B/tree/0123abcd",
        ),
    ],
)
def test_licence_and_origin_are_kept_and_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    where: str,
    config: dict,
    readme: str | None,
    license: str,
    origin: str,
) -> None:
    source = write_checkpoint(tmp_path / where, **config)
    if readme:
        (source / "README.md").write_text(readme)
    assert main([str(source), str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out'}\n"
    assert f"nllb: licence: {license}" in said.err
    found = read_config(tmp_path / "out")
    assert found["license"].startswith(license)
    assert found["source"] == origin


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = write_checkpoint(tmp_path / "hub", tokenizer=False)
    options = ["--dtype", "bfloat16", "--bits", "4", "--group-size", "32"]
    assert main([str(source), str(tmp_path / "out"), *options]) == 0
    said = capsys.readouterr().err
    assert "has no sentencepiece.bpe.model" in said
    assert "nllb: quantising to 4 bits" in said
    config = read_config(tmp_path / "out")
    assert (config["dtype"], config["quantization"]["bits"]) == ("bfloat16", 4)
    (source / "model.safetensors").unlink()
    assert main([str(source), str(tmp_path / "other")]) == 1
    assert "error: " in (said := capsys.readouterr().err)
    assert "holds no weights: none of model.safetensors" in said
    assert not (tmp_path / "other").exists()
    (tmp_path / "file").touch()
    assert main([str(source), str(tmp_path / "file")]) == 1
    assert "is not a model folder" in capsys.readouterr().err
