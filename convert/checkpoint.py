"""The tensors of a folder in the hub's layout, in whichever of its four ways they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.model_folder import read_json

from .safetensors_file import read_safetensors
from .torch_file import read_torch

LAYOUTS = {
    "model.safetensors": read_safetensors,
    "model.safetensors.index.json": read_safetensors,
    "pytorch_model.bin": read_torch,
    "pytorch_model.bin.index.json": read_torch,
}
"""Where the weights are, in order of preference; an index lists the shards they are in."""


def read_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of a checkpoint, read-only over memory maps; bfloat16 as `BFLOAT16`.

    Raises:
        ModelNotFoundError: there are no weights, or a shard is missing.
        ModelFormatError: a file is damaged, or an index does not fit its shards.
    """
    for name, read in LAYOUTS.items():
        path = folder / name
        if path.is_file():
            if path.suffix != ".json":
                return _state_dict(path, read(path))
            return _shards(path, read)
    raise ModelNotFoundError(f"{folder} holds no weights: none of {', '.join(LAYOUTS)}")


def _shards(index: Path, read: Any) -> dict[str, np.ndarray]:
    """The tensors of all the shards that an index lists."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(x, str) for x in places.values()):
        raise ModelFormatError(f"{index} has no weight_map from tensors to files")
    tensors: dict[str, np.ndarray] = {}
    for name in sorted(set(places.values())):
        path = index.parent / name
        if Path(name).name != name:
            raise ModelFormatError(f"{index} lists {name!r}, which is not a file beside it")
        if not path.is_file():
            raise ModelNotFoundError(f"{index} lists {name}, which is missing")
        shard = _state_dict(path, read(path))
        if twice := sorted(tensors.keys() & shard.keys()):
            raise ModelFormatError(f"{path} holds {twice[0]}, which another shard holds too")
        tensors |= shard
    if missing := sorted(places.keys() - tensors.keys()):
        raise ModelFormatError(f"{index} lists {missing[0]}, which none of its shards holds")
    return tensors


def _state_dict(path: Path, value: Any) -> dict[str, np.ndarray]:
    """What a file holds, which must be tensors by name."""
    if not isinstance(value, dict) or not value:
        raise ModelFormatError(f"{path} holds no tensors by name")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, np.ndarray):
            raise ModelFormatError(f"{path}: {str(name)[:80]!r} is not a tensor")
    return value
