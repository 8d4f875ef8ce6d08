"""Marian files of a language pair become a folder; what is not of this architecture is refused."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_speak.convert.bergamot import convert_bergamot
from translation import tiny

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.translation.bergamot import load, load_model


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny.write_folder(tmp_path / "source")


def test_folder(source: Path, tmp_path: Path) -> None:
    folder = convert_bergamot(source, tmp_path / "en-pt")
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "shortlist.safetensors",
        "vocab.spm",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "bergamot"
    assert (config["source_language"], config["target_language"]) == ("en", "pt")
    assert (config["hidden_size"], config["intermediate_size"]) == (tiny.DIMS, tiny.INNER)
    assert (config["encoder_layers"], config["decoder_layers"]) == (tiny.ENCODER, tiny.DECODER)
    assert "MPL-2.0" in config["license"]


def test_int8_weights_are_exact(source: Path, tmp_path: Path) -> None:
    """Merged layers keep every part's own multiplier, and the quotient is the engine's."""
    model = load_model(convert_bergamot(source, tmp_path / "en-pt"))
    original = tiny.random_model()
    parts = [original[f"encoder_l1_self_W{letter}"] for letter in "qkv"]
    expected = np.concatenate(
        [p.values.T.astype(np.float32) / np.float32(p.multiplier) for p in parts]
    )
    np.testing.assert_array_equal(
        np.array(model.encoder[0].attention.query_key_value.weight), expected
    )


def test_separate_vocabularies(tmp_path: Path) -> None:
    """Pairs such as English-Japanese have a table and a vocabulary for each language."""
    options = tiny.OPTIONS.replace("tied-embeddings: false", "tied-embeddings: true")
    options = options.replace("tied-embeddings-all: true", "tied-embeddings-all: false")
    weights = tiny.random_model(3, shared=False)
    names = ("srcvocab.enpt.spm", "trgvocab.enpt.spm")
    source = tiny.write_folder(tmp_path / "source", weights, options=options, names=names)
    folder = convert_bergamot(source, tmp_path / "en-pt")
    assert (folder / "source.spm").is_file()
    assert (folder / "target.spm").is_file()
    translator = load(folder)
    ids, target = [5, 9, 0], [7, 8, 11]
    found = translator.model(mx.array([ids]), mx.array([target]))
    # float32 against float64; the logits are a few tens.
    np.testing.assert_allclose(np.array(found[0]), tiny.logits(weights, ids, target), atol=2e-4)
    assert isinstance(translator.translate("The quick tests pass.").text, str)


def test_languages_can_be_given(source: Path, tmp_path: Path) -> None:
    (source / "model.enpt.intgemm.alphas.bin").rename(source / "model.bin")
    with pytest.raises(ModelFormatError, match=r"languages=\('en', 'pt'\)"):
        convert_bergamot(source, tmp_path / "no")
    folder = convert_bergamot(source, tmp_path / "yes", languages=("en", "pt-BR"))
    assert json.loads((folder / "config.json").read_text())["target_language"] == "pt-BR"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("dec-cell: ssru", "dec-cell: gru"),
        ("transformer-decoder-autoreg: rnn", "transformer-decoder-autoreg: self-attention"),
        ('transformer-preprocess: ""', "transformer-preprocess: n"),
        ("transformer-postprocess: dan", "transformer-postprocess: da"),
        ("transformer-ffn-activation: relu", "transformer-ffn-activation: swish"),
        ("type: transformer", "type: s2s"),
        ("lemma-dim-emb: 0", "lemma-dim-emb: 64"),
    ],
)
def test_other_architectures_are_named(tmp_path: Path, ours: str, theirs: str) -> None:
    options = tiny.OPTIONS.replace(ours, theirs)
    assert options != tiny.OPTIONS
    source = tiny.write_folder(tmp_path / "source", options=options)
    option, _, value = theirs.partition(": ")
    with pytest.raises(ModelFormatError, match=f"{option} is '{value}'"):
        convert_bergamot(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tensor_that_nothing_uses(tmp_path: Path) -> None:
    weights = tiny.random_model() | {
        "decoder_l1_rnn_Wo": np.ones((tiny.DIMS, tiny.DIMS), np.float32)
    }
    source = tiny.write_folder(tmp_path / "source", weights)
    with pytest.raises(ModelFormatError, match="decoder_l1_rnn_Wo"):
        convert_bergamot(source, tmp_path / "out")


def test_a_tensor_that_is_missing_or_misshapen(tmp_path: Path) -> None:
    weights = tiny.random_model()
    del weights["encoder_l2_ffn_b1"]
    source = tiny.write_folder(tmp_path / "missing", weights)
    with pytest.raises(ModelFormatError, match="encoder_l2_ffn_b1 is missing"):
        convert_bergamot(source, tmp_path / "out")
    weights["encoder_l2_ffn_b1"] = np.zeros((1, 5), np.float32)
    source = tiny.write_folder(tmp_path / "misshapen", weights)
    with pytest.raises(ModelFormatError, match=r"encoder_l2_ffn_b1 has the shape \(1, 5\)"):
        convert_bergamot(source, tmp_path / "out")


def test_missing_files(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        convert_bergamot(tmp_path / "nowhere", tmp_path / "out")
    (source / "lex.50.50.enpt.s2t.bin").unlink()
    with pytest.raises(ModelNotFoundError, match=r"one lex\*\.bin; found none"):
        convert_bergamot(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shortlist_of_another_vocabulary(source: Path, tmp_path: Path) -> None:
    (source / "lex.50.50.enpt.s2t.bin").write_bytes(tiny.shortlist_binary([[1], [2]]))
    with pytest.raises(ModelFormatError, match="smaller vocabulary"):
        convert_bergamot(source, tmp_path / "out")
