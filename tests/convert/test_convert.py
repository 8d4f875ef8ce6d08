"""`convert` finds the architecture, and gives models another precision."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_speak.convert import convert, detect, packages
from mlx_speak.convert.__main__ import main

from mlx_speak import hub
from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.model_folder import read_config


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_architectures_by_their_files(tmp_path: Path) -> None:
    marian = touch(tmp_path / "enpt", "model.enpt.bin", "vocab.enpt.spm", "lex.enpt.bin")
    assert detect(marian) == "bergamot"
    two = touch(tmp_path / "enja", "model.enja.bin", "srcvocab.enja.spm", "trgvocab.enja.spm")
    assert detect(two) == "bergamot"
    hexgrad = touch(tmp_path / "Kokoro-82M", "kokoro-v1_0.pth")
    (hexgrad / "config.json").write_text('{"istftnet": {}, "plbert": {}, "vocab": {}}')
    assert detect(hexgrad) == "kokoro"
    assert detect(hexgrad / "kokoro-v1_0.pth") == "kokoro"
    facebook = touch(tmp_path / "nllb-200", "pytorch_model.bin")
    (facebook / "config.json").write_text('{"model_type": "m2m_100"}')
    assert detect(facebook) == "nllb"
    exported = touch(tmp_path / "onnx", "kokoro-v1.0.int8.onnx")
    assert detect(exported) == "kokoro"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ('{"model_type": "mbart"}', "mbart"),
        ('{"model": "vits"}', "vits"),
        ("{}", "cannot read"),
        ('{"model_type": ["kokoro"]}', "cannot read"),
        ("[]", "cannot read"),
        ("{", "cannot read"),
        (None, "cannot read"),
    ],
)
def test_others_are_refused_with_a_list(tmp_path: Path, config: str | None, named: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelFormatError) as caught:
        convert(tmp_path, tmp_path.parent / "out")
    assert named in str(caught.value)
    assert "Supported: Kokoro" in str(caught.value)
    assert "Bergamot" in str(caught.value)
    assert not (tmp_path.parent / "out").exists()


@pytest.mark.parametrize("options", [{"dtype": "int3"}, {"bits": 3}, {"bits": 8, "group_size": 7}])
def test_a_precision_that_is_none(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ModelFormatError, match="must be one of"):
        convert(tmp_path, tmp_path / "out", **options)


def test_a_source_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotFoundError, match="no file or folder"):
        convert(str(tmp_path / "nowhere"), tmp_path / "out")
    asked = []

    def download(repository: hub.Repository) -> Path:
        asked.append(repository)
        raise ModelNotFoundError("offline")

    monkeypatch.setattr(hub, "download", download)
    for source in ("hexgrad/Kokoro-82M", "someone/else"):
        with pytest.raises(ModelNotFoundError, match="offline"):
            convert(source, tmp_path / "out")
    assert asked == [hub.KOKORO, hub.Repository("someone/else")]


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 1
    assert (
        capsys.readouterr().err == f"error: there is no file or folder '{tmp_path / 'nowhere'}'\n"
    )
    with pytest.raises(SystemExit):
        main([str(tmp_path), "out", "--bits", "3"])
    with pytest.raises(SystemExit):
        main([])


def test_the_command_is_a_module() -> None:
    command = [sys.executable, "-m", "mlx_speak.convert", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "packages" in said
    assert "--group-size" in said


def linears(model: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.QuantizedLinear))
    }


@pytest.mark.packages
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_in_another_type(models: dict[str, Path], tmp_path: Path, dtype: str) -> None:
    folder = convert(models["bergamot-en-pt"], tmp_path / "model", dtype=dtype)
    model, original = hub.load_model(folder), hub.load_model(models["bergamot-en-pt"])
    assert read_config(folder)["dtype"] == dtype
    reference = dict(tree_flatten(original.parameters()))
    for name, array in tree_flatten(model.parameters()):
        assert array.dtype == getattr(mx, dtype)
        assert mx.array_equal(array, reference[name].astype(array.dtype)), name


@pytest.mark.packages
@pytest.mark.parametrize(("bits", "bound"), [(8, 1.1 / 255), (4, 1.1 / 15)])
def test_weights_in_fewer_bits(
    models: dict[str, Path], tmp_path: Path, bits: int, bound: float
) -> None:
    """A weight moves by half a step at most; a step is the group's range over 2**bits - 1.

    MLX shifts the scale so that zero is exact, which costs up to another half step at the edges.
    """
    folder = convert(models["bergamot-en-pt"], tmp_path / "model", bits=bits, group_size=32)
    assert read_config(folder)["quantization"] == {"group_size": 32, "bits": bits}
    quantized = linears(hub.load_model(folder))
    original = linears(hub.load_model(models["bergamot-en-pt"]))
    assert quantized.keys() == original.keys()
    for name, layer in quantized.items():
        assert isinstance(layer, nn.QuantizedLinear)
        weight = mx.dequantize(layer.weight, layer.scales, layer.biases, 32, bits)
        groups = np.array(original[name].weight).reshape(-1, 32)
        span = np.maximum(groups.max(1), 0) - np.minimum(groups.min(1), 0)
        moved = np.abs(np.array(weight).reshape(-1, 32) - groups).max(1)
        assert (moved <= bound * span + 1e-6).all()


@pytest.mark.packages
def test_a_quantised_model_is_not_quantised_again(models: dict[str, Path], tmp_path: Path) -> None:
    once = convert(models["bergamot-en-pt"], tmp_path / "once", bits=8)
    with pytest.raises(ModelFormatError, match="quantised already"):
        convert(once, tmp_path / "twice", bits=4)
    assert not (tmp_path / "twice").exists()


@pytest.mark.packages
def test_the_command_converts_what_packages_hold(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "half"
    assert main([str(models["kokoro"]), str(out), "--dtype", "float16"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    size = (models["kokoro"] / "model.safetensors").stat().st_size
    assert (out / "model.safetensors").stat().st_size == pytest.approx(size / 2, rel=0.01)
    assert len(list((out / "voices").iterdir())) == len(
        list((models["kokoro"] / "voices").iterdir())
    )
    assert json.loads((out / packages.STAMP).read_text())["sources"]


def log_spectrum(samples: np.ndarray) -> np.ndarray:
    """(frames, 513) logarithms of magnitudes in windows of 1024 samples."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::256]
    return np.log(np.abs(np.fft.rfft(frames * np.hanning(1024))) + 1e-3)


@pytest.mark.packages
@pytest.mark.slow  # half precision products are not BLAS's on a CPU
@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"dtype": "bfloat16"}, {"bits": 8}])
def test_kokoro_speaks_in_other_precisions(
    models: dict[str, Path], tmp_path: Path, options: dict
) -> None:
    """The same durations, and nearly the same spectrum (0.990 to 0.998 when this was written)."""
    input_ids = mx.array([[0, 50, 83, 54, 156, 57, 135, 16, 65, 156, 87, 158, 54, 46, 5, 0]])
    styles = mx.load(str(models["kokoro"] / "voices" / "pf_dora.safetensors"))
    assert isinstance(styles, dict)
    style = next(iter(styles.values()))[input_ids.shape[1] - 3].reshape(1, -1)
    folder = convert(models["kokoro"], tmp_path / "model", **options)
    expected, found = (
        hub.load_model(path)(input_ids, style) for path in (models["kokoro"], folder)
    )
    np.testing.assert_array_equal(found.durations, expected.durations)
    spectra = [log_spectrum(np.array(speech.samples)).ravel() for speech in (expected, found)]
    assert np.corrcoef(*spectra)[0, 1] > 0.97
