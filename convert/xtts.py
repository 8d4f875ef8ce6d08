"""Bring XTTS v2 to MLX from coqui's files or a fine-tune's: all but training is in them.

Of `config.json`, `model.pth` (or another .pth or .safetensors file), `vocab.json` and
`speakers_xtts.pth` only the first two must be there. torch is not needed, and nothing that a pickle
asks for is run.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.model_folder import read_config

from .folder import atomic_folder, metadata, origin, save_model, save_tensors
from .parameters import check_finite, check_shapes
from .report import SILENT, Reporter
from .safetensors_file import read_safetensors, widen
from .torch_file import read_torch
from .xtts_parameters import dimensions, parameters

LICENSE = "Coqui Public Model License 1.0.0 (CPML): non-commercial use only"
_OTHERS = {"dvae.pth", "mel_stats.pth", "speakers_xtts.pth"}


def convert_xtts(
    source: str | Path, destination: str | Path, *, reporter: Reporter = SILENT
) -> Path:
    """Convert an XTTS v2 to a folder that `load_voice` reads.

    Args:
        source: a folder with config.json and a checkpoint, or the checkpoint beside a config.json.
        destination: folder to write: config.json, model.safetensors, and as far as they are there
            vocab.json and speakers.safetensors.
        reporter: is told the licence, and what is missing.

    Returns:
        The destination.

    Raises:
        ModelNotFoundError: there is no checkpoint or no config.
        ModelFormatError: a file is damaged, hostile, or not of an XTTS v2.
    """
    from mlx_speak.speech.xtts.model import XTTS, XTTSConfig
    from mlx_speak.speech.xtts.speakers import shapes, tensors

    checkpoint = _find_checkpoint(Path(source).expanduser())
    folder = checkpoint.parent
    config = read_config(folder)
    state = _state(checkpoint)
    given = {**config, **(config.get("model_args") or {}), **dimensions(state)}
    given.pop("model_args", None)
    model_config = XTTSConfig.from_dict(given)
    weights = parameters(state, model_config.gpt_n_heads)
    check_shapes(checkpoint, XTTS(model_config), weights)
    for name, array in weights.items():
        check_finite(checkpoint, name, array)
    speakers = _speakers(folder / "speakers_xtts.pth", shapes(model_config))

    reporter.say("xtts", f"licence: {LICENSE}; see https://coqui.ai/cpml")
    if not (folder / "vocab.json").is_file():
        reporter.say(
            "xtts",
            f"{folder} has no vocab.json: the network can be loaded, but will not speak until that "
            "file (of the model it was trained from) is put beside it",
        )
    if not speakers:
        reporter.say("xtts", f"{folder} has no speakers_xtts.pth: speakers must be cloned")
    destination = Path(destination).expanduser()
    with atomic_folder(destination) as written:
        ours = {
            "model_type": "xtts",
            **asdict(model_config),
            "dtype": "float32",
            "license": LICENSE,
            "source": origin(checkpoint),
            "provenance": {"checkpoint": checkpoint.name},
        }
        save_model(written, ours, weights)
        if speakers:
            path = written / "speakers.safetensors"
            save_tensors(path, tensors(speakers), metadata=metadata(ours))
        for name in ("vocab.json", "LICENSE.txt"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, written / name)
    return destination


def _find_checkpoint(source: Path) -> Path:
    if source.is_file():
        return source
    for pattern in ("model.pth", "best_model*.pth", "*.pth", "*.safetensors"):
        found = [path for path in sorted(source.glob(pattern)) if path.name not in _OTHERS]
        if found:
            return found[0]
    raise ModelNotFoundError(f"no checkpoint of XTTS (.pth, .safetensors) at {source}")


def _state(checkpoint: Path) -> dict[str, np.ndarray]:
    """The parameters of a checkpoint by coqui's names; a trainer wraps them in `model`."""
    if checkpoint.suffix == ".safetensors":
        found: Any = read_safetensors(checkpoint)
    else:
        found = read_torch(checkpoint)
    if isinstance(found, dict) and isinstance(found.get("model"), dict):
        found = found["model"]
    if not isinstance(found, dict):
        raise ModelFormatError(f"{checkpoint} does not hold parameters by name")
    state = {
        str(name).removeprefix("xtts."): array
        for name, array in found.items()
        if isinstance(array, np.ndarray)
    }
    beside = checkpoint.with_name("mel_stats.pth")
    if "mel_stats" not in state and beside.is_file():
        state["mel_stats"] = np.asarray(read_torch(beside))
    return state


def _speakers(
    path: Path, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The latents and embedding of every speaker in coqui's file, if there is one."""
    if not path.is_file():
        return {}
    found = read_torch(path)
    if not isinstance(found, dict):
        raise ModelFormatError(f"{path} does not hold speakers by name")
    speakers = {}
    for name, entry in found.items():
        latents = _latents(path, str(name), entry)
        for array, shape in zip(latents, shapes, strict=True):
            if array.shape != shape:
                raise ModelFormatError(f"{path}: {name!r} has shape {array.shape}, not {shape}")
            check_finite(path, str(name), array)
        speakers[str(name)] = latents
    return speakers


def _latents(path: Path, name: str, entry: Any) -> tuple[np.ndarray, np.ndarray]:
    keys = "gpt_cond_latent", "speaker_embedding"
    found = [entry.get(key) if isinstance(entry, Mapping) else None for key in keys]
    arrays = [np.asarray(widen(x), np.float32) for x in found if isinstance(x, np.ndarray)]
    if len(arrays) < len(keys):
        raise ModelFormatError(f"{path}: {name!r} lacks {' or '.join(keys)}")
    return arrays[0], arrays[1]
