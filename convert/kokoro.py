"""Bring Kokoro to MLX from each of the layouts it is published in.

- hexgrad/Kokoro-82M: `kokoro-v1_0.pth`, five state dicts in a dict, with weight norm;
- mlx-community's copies: one flat safetensors file, in torch's or mlx-audio's names and axes,
  possibly quantized;
- the dynamic int8 ONNX export of thewh1teagle/kokoro-onnx, which packages ship.

All end as the same folder: weight norm folded, convolutions in MLX's axes (out, kernel, in), q, k
and v in one matrix, both directions of an LSTM in one array.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.model_folder import read_json

from .folder import atomic_folder, metadata, origin, save_config, save_model, save_tensors
from .kokoro_onnx import read_kokoro_onnx
from .mlx_audio import CHECKPOINT, as_mlx_audio, read_mlx_audio
from .parameters import check_shapes, convolution_axes, fold_weight_norm, stage_blocks
from .report import SILENT, Reporter
from .safetensors_file import widen
from .torch_file import read_torch

Weights = dict[str, np.ndarray]

_WEIGHT_NORM = "weight_g", "weight_v"


LICENSE = "Apache-2.0"


def convert_kokoro(
    source: str | Path,
    destination: str | Path,
    *,
    voices: str | Path | None = None,
    reporter: Reporter = SILENT,
) -> Path:
    """Convert a Kokoro checkpoint and its voices to a folder that `load_voice` reads.

    Args:
        source: a .pth, .safetensors or .onnx file, or a folder that holds one.
        destination: folder to write: config.json, model.safetensors, voices/NAME.safetensors.
        voices: a folder of .pt, .safetensors or raw float32 .bin files, or one .npz; by default
            the folder `voices` beside the checkpoint.
        reporter: is told the licence.

    Returns:
        The destination.

    Raises:
        ModelNotFoundError: no checkpoint at `source`, or no voices at `voices`.
        ModelFormatError: a file is damaged or not Kokoro.
    """
    checkpoint = _read(Path(source).expanduser(), voices, reporter)
    destination = Path(destination).expanduser()
    with atomic_folder(destination) as folder:
        config = {
            **checkpoint.config,
            "provenance": {"checkpoint": checkpoint.path.name, "precision": checkpoint.precision},
        }
        save_model(folder, config, checkpoint.weights)
        _save_voices(folder, checkpoint)
    return destination


def export_kokoro(
    source: str | Path,
    destination: str | Path,
    *,
    dtype: str | None = None,
    reporter: Reporter = SILENT,
) -> Path:
    """Write a Kokoro checkpoint and its voices as a folder that mlx-audio loads.

    Args:
        source: as `convert_kokoro` takes it.
        destination: folder to write: config.json, kokoro-v1_0.safetensors,
            voices/NAME.safetensors.
        dtype: of the weights; None is float32.
        reporter: is told the licence.

    Returns:
        The destination.

    Raises:
        ModelNotFoundError: no checkpoint at `source`.
        ModelFormatError: a file is damaged or not Kokoro.
    """
    import mlx.core as mx

    checkpoint = _read(Path(source).expanduser(), None, reporter)
    reference = dict(_absorb_instance_norm(checkpoint.reference))
    theirs = as_mlx_audio(reference)
    kind = getattr(mx, dtype or "float32")
    destination = Path(destination).expanduser()
    with atomic_folder(destination) as folder:
        save_config(folder, checkpoint.config)
        weights = {name: mx.array(array).astype(kind) for name, array in theirs.items()}
        save_tensors(folder / CHECKPOINT, weights, metadata=metadata(checkpoint.config))
        _save_voices(folder, checkpoint)
    return destination


class _Checkpoint(NamedTuple):
    path: Path
    config: dict[str, Any]
    """As it is written: of this architecture, with its source and licence."""
    precision: str
    reference: Weights
    """By the reference's names, in torch's axes, with weight norm or without."""
    weights: Weights
    """By the names of `Kokoro`, checked."""
    voices: Weights


def _read(source: Path, voices: str | Path | None, reporter: Reporter) -> _Checkpoint:
    """A checkpoint and its voices, every name and shape checked; `convert_kokoro` has the rest."""
    from mlx_speak.speech.kokoro.model import Kokoro, KokoroConfig

    path = _find_checkpoint(source)
    config = _read_config(path)
    precision, reference = _read_reference(path, config)
    try:
        model_config = KokoroConfig.from_dict(config)
        model = Kokoro(model_config)
        folded = fold_weight_norm(reference, *_WEIGHT_NORM)
        weights = rename(folded, len(model_config.istftnet.resblock_kernel_sizes))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFormatError(f"{path} is not a Kokoro checkpoint: {error!r}") from error
    check_shapes(path, model, weights)

    if voices is None:
        beside = path.parent / "voices"
        packs = dict(read_voices(beside)) if beside.is_dir() else {}
    else:
        packs = dict(read_voices(Path(voices).expanduser()))
    shape = (model_config.max_phonemes, 1, 2 * model_config.style_dim)
    for name, pack in packs.items():
        if pack.shape != shape:
            raise ModelFormatError(f"voice {name!r} has shape {pack.shape}, not {shape}")

    reporter.say("kokoro", f"licence: {LICENSE} (hexgrad/Kokoro-82M)")
    of_another_layout = ("quantization", "quantization_config", "provenance")
    written = {name: value for name, value in config.items() if name not in of_another_layout}
    written |= {
        "model_type": "kokoro",
        "sample_rate": model_config.sample_rate,
        "license": LICENSE,
        "source": origin(path),
    }
    return _Checkpoint(path, written, precision, reference, weights, packs)


def _save_voices(folder: Path, checkpoint: _Checkpoint) -> None:
    said = metadata(checkpoint.config)
    for name, pack in checkpoint.voices.items():
        save_tensors(folder / "voices" / f"{name}.safetensors", {"voice": pack}, metadata=said)


def _find_checkpoint(source: Path) -> Path:
    if source.is_file():
        return source
    for pattern in ("kokoro*.pth", "*.pth", "kokoro*.safetensors", "*.safetensors", "*.onnx"):
        if found := sorted(source.glob(pattern)):
            return found[0]
    raise ModelNotFoundError(f"no Kokoro checkpoint (.pth, .safetensors, .onnx) at {source}")


def _read_config(checkpoint: Path) -> dict[str, Any]:
    """config.json beside the checkpoint, or that of v1.0 if the file's name says it is that."""
    path = checkpoint.parent / "config.json"
    if not path.is_file():
        if not re.match(r"kokoro-v1[._]0\b", checkpoint.name):
            raise ModelNotFoundError(f"{checkpoint} needs its config.json beside it")
        path = Path(__file__).with_name("kokoro_v1_0.json")
    config = read_json(path)
    if not {"vocab", "istftnet", "plbert"} <= config.keys():
        raise ModelFormatError(f"{path} is not the configuration of a Kokoro model")
    return config


def _read_reference(checkpoint: Path, config: Mapping[str, Any]) -> tuple[str, Weights]:
    """How precise the weights are, and the weights by the reference's names, in torch's axes."""
    if checkpoint.suffix == ".onnx":
        return "int8 onnx", read_kokoro_onnx(checkpoint)
    if checkpoint.suffix == ".safetensors":
        return read_mlx_audio(checkpoint, config)
    parts = read_torch(checkpoint)
    if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
        raise ModelFormatError(f"{checkpoint} is not a dict of state dicts")
    weights = {
        f"{part}.{str(name).removeprefix('module.')}": np.asarray(widen(array), np.float32)
        for part, state in parts.items()
        for name, array in state.items()
        if isinstance(array, np.ndarray)
    }
    return "float32", weights


_DROPPED = re.compile(r"bert\.pooler\.|.*position_ids$|bert\.embeddings\.token_type_embeddings\.")

_RENAMES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^bert_encoder\.", "bert_proj."),
        (r"^bert\.embeddings\.LayerNorm\.", "bert.embedding_norm."),
        (r"^bert\.embeddings\.", "bert."),
        (r"^bert\.encoder\.embedding_hidden_mapping_in\.", "bert.embedding_proj."),
        (r"^bert\.encoder\.albert_layer_groups\.0\.albert_layers\.0\.", "bert.layer."),
        (r"^bert\.layer\.attention\.dense\.", "bert.layer.out."),
        (r"^bert\.layer\.attention\.LayerNorm\.", "bert.layer.attention_norm."),
        (r"^bert\.layer\.full_layer_layer_norm\.", "bert.layer.ffn_norm."),
        (r"^bert\.layer\.ffn\.", "bert.layer.ffn_in."),
        (r"^bert\.layer\.ffn_output\.", "bert.layer.ffn_out."),
        (r"^predictor\.lstm\.", "predictor.duration_lstm."),
        (r"^predictor\.duration_proj\.linear_layer\.", "predictor.duration_proj."),
        (r"^predictor\.shared\.", "predictor.frame_lstm."),
        (r"^predictor\.F0(_proj)?\.", r"predictor.f0\1."),
        (r"^predictor\.N(_proj)?\.", r"predictor.energy\1."),
        (r"^text_encoder\.cnn\.(\d+)\.0\.", r"text_encoder.convs.\1."),
        (r"^text_encoder\.cnn\.(\d+)\.1\.(gamma|weight)$", r"text_encoder.norms.\1.weight"),
        (r"^text_encoder\.cnn\.(\d+)\.1\.(beta|bias)$", r"text_encoder.norms.\1.bias"),
        (r"^decoder\.F0_conv\.", "decoder.f0_conv."),
        (r"^decoder\.N_conv\.", "decoder.energy_conv."),
        (r"^decoder\.asr_res\.0\.", "decoder.text_residual."),
        (r"^decoder\.generator\.m_source\.l_linear\.", "decoder.generator.source.merge."),
        (r"^decoder\.generator\.ups\.(\d+)\.", r"decoder.generator.stages.\1.up."),
        (r"\.noise_convs\.(\d+)\.", r".stages.\1.source_conv."),
        (r"\.noise_res\.(\d+)\.", r".stages.\1.source_block."),
        (r"\.conv1x1\.", ".shortcut."),
        (r"\.convs1\.", ".dilated."),
        (r"\.convs2\.", ".plain."),
        (r"\.adain(\d)\.", r".norm\1."),
    )
]


def rename(reference: Mapping[str, np.ndarray], blocks_per_stage: int) -> Weights:
    """The reference's folded parameters (torch's names and axes) as `Kokoro`'s.

    Args:
        reference: by the names of `kokoro.model.KModel`.
        blocks_per_stage: residual blocks after each upsampling, numbered through there.
    """
    reference = dict(_absorb_instance_norm(reference))
    word = "bert.embeddings.word_embeddings.weight"
    reference[word] = reference[word] + reference["bert.embeddings.token_type_embeddings.weight"][0]
    weights: Weights = {}
    for name, array in reference.items():
        if _DROPPED.match(name) or "_l0" in name or _is_qkv(name):
            continue
        weights[_renamed(name, blocks_per_stage)] = _mlx_axes(name, array)
    for stem in {name.partition(".weight_ih_l0")[0] for name in reference if "_ih_l0" in name}:
        if "bias_ih_l0" not in stem:
            for name, array in _lstm(reference, stem):
                weights[_renamed(name, blocks_per_stage)] = array
    attention = "bert.encoder.albert_layer_groups.0.albert_layers.0.attention"
    for kind in ("weight", "bias"):
        weights[f"bert.layer.qkv.{kind}"] = np.concatenate(
            [reference[f"{attention}.{part}.{kind}"] for part in ("query", "key", "value")]
        )
    return weights


def _is_qkv(name: str) -> bool:
    return re.search(r"\.attention\.(query|key|value)\.", name) is not None


def _renamed(name: str, blocks_per_stage: int) -> str:
    if match := re.match(r"predictor\.text_encoder\.lstms\.(\d+)\.(.*)", name):
        index, rest = int(match[1]), match[2]  # LSTMs and norms take turns in one list
        kind = "norms" if index % 2 else "lstms"
        return f"predictor.text_encoder.{kind}.{index // 2}.{rest}"
    name = stage_blocks(name, "decoder.generator", blocks_per_stage)
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return name


def _mlx_axes(name: str, array: np.ndarray) -> np.ndarray:
    if ".alpha" in name:
        return array.reshape(-1)  # (1, channels, 1)
    if array.ndim != 3:
        return array
    return convolution_axes(array, transposed=".ups." in name)


def _lstm(reference: Mapping[str, np.ndarray], stem: str) -> Iterator[tuple[str, np.ndarray]]:
    """Torch's eight arrays of a bidirectional LSTM as the three of `BiLSTM`."""

    def stacked(kind: str) -> np.ndarray:
        directions = [reference[f"{stem}.{kind}_l0{suffix}"] for suffix in ("", "_reverse")]
        both = np.stack(directions)
        i, f, g, o = np.split(both, 4, axis=1)
        return np.concatenate([i, f, o, g], axis=1)

    yield f"{stem}.weight_ih", stacked("weight_ih")
    yield f"{stem}.weight_hh", stacked("weight_hh")
    yield f"{stem}.bias", stacked("bias_ih") + stacked("bias_hh")


def _absorb_instance_norm(
    reference: Mapping[str, np.ndarray],
) -> Iterator[tuple[str, np.ndarray]]:
    """Fold the affine part that torch's copy of AdaIN carries for its exporter into `fc`.

    (1 + γ)(w·x̂ + b) + β with (γ, β) = fc(s) is AdaIN again, and hexgrad's weights have none.
    """
    for name, array in reference.items():
        stem, _, kind = name.rpartition(".")
        if stem.endswith(".norm"):
            continue
        affine = f"{stem.removesuffix('.fc')}.norm"
        if stem.endswith(".fc") and f"{affine}.weight" in reference:
            gamma, beta = np.split(array, 2)
            column = (-1,) + (1,) * (array.ndim - 1)
            scale = reference[f"{affine}.weight"].reshape(column)
            shift = reference[f"{affine}.bias"].reshape(column)
            if kind == "bias":
                array = np.concatenate([scale * (1 + gamma) - 1, beta + shift * (1 + gamma)])
            else:
                array = np.concatenate([scale * gamma, beta + shift * gamma])
        yield name, array


def read_voices(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The style vectors of each voice at `path`, (phonemes, 1, 2 · style_dim) float32 by name.

    Raises:
        ModelNotFoundError: nothing there that could be a voice.
    """
    import mlx.core as mx

    found = False
    files = [path] if path.is_file() else sorted(path.glob("*")) if path.is_dir() else []
    for file in files:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                packs = {name: arrays[name] for name in arrays.files}
        elif file.suffix == ".pt":
            packs = {file.stem: read_torch(file)}
        elif file.suffix == ".safetensors":
            tensors = mx.load(str(file))
            if not isinstance(tensors, dict) or len(tensors) != 1:
                raise ModelFormatError(f"{file} does not hold one Kokoro voice")
            (tensor,) = tensors.values()
            packs = {file.stem: np.array(tensor.astype(mx.float32))}
        elif file.suffix == ".bin":
            packs = {file.stem: np.fromfile(file, "<f4")}
        else:
            continue
        for name, pack in packs.items():
            values = widen(pack) if isinstance(pack, np.ndarray) else np.empty(1)
            if values.size % 256 or not np.isfinite(values).all():
                raise ModelFormatError(f"{file} does not hold a Kokoro voice")
            found = True
            yield name, values.astype(np.float32).reshape(-1, 1, 256)
    if not found:
        raise ModelNotFoundError(f"no voices (.pt, .safetensors, .bin, .npz) at {path}")
