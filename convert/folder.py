"""Model folders in the hub's usual layout, written so that a folder is whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlx_speak.errors import ModelFormatError, SpeakError
from mlx_speak.model_folder import read_config

from .safetensors_file import write_safetensors

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np


@contextlib.contextmanager
def atomic_folder(destination: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `destination` that takes its place when the block succeeds.

    The files are flushed to disk before the rename. When the block fails, nothing of the new
    folder is left, and an older one stays as it was.

    Raises:
        ModelFormatError: `destination` exists and is neither empty nor a model folder, so
            replacing it could destroy something else.
    """
    destination = Path(destination).expanduser().absolute()
    _check_replaceable(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{destination.name}-", dir=destination.parent) as own:
        folder = Path(own, "new")
        folder.mkdir()
        yield folder
        for path in folder.rglob("*"):
            _flush(path)
        _flush(folder)
        old = Path(own, "old")
        if destination.exists():
            destination.rename(old)
        try:
            folder.rename(destination)
        except OSError:
            if old.exists():
                old.rename(destination)
            raise
        _flush(destination.parent)


def save_model(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, mx.array | np.ndarray]
) -> None:
    """Write `config.json` and `model.safetensors` into a folder.

    Args:
        config: must name its `model_type`.
        weights: arrays by parameter name.
    """
    save_config(folder, config)
    save_tensors(folder / "model.safetensors", weights, metadata=metadata(config))


def save_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write `config.json`, which must name its `model_type`."""
    if not isinstance(config.get("model_type"), str):
        raise ModelFormatError("a model's config needs a 'model_type'")
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def save_tensors(
    path: Path,
    tensors: Mapping[str, mx.array | np.ndarray],
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays to a safetensors file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, dict(tensors), metadata=metadata)


def metadata(config: Mapping[str, Any]) -> dict[str, str]:
    """What a safetensors file says of itself, should it be parted from its config.json."""
    return {name: config[name] for name in ("model_type", "license", "source") if name in config}


def hub_snapshot(source: Path) -> tuple[str, str] | None:
    """The id and the commit of what lies in the hub's cache, and None of what does not."""
    path = source.absolute().as_posix()  # unresolved: the files there are links to blobs
    match = re.search(r"/models--([^/]+)--([^/]+)/snapshots/(\w+)(?:/|$)", path)
    return (f"{match[1]}/{match[2]}", match[3]) if match else None


def origin(source: Path) -> str:
    """Where a checkpoint is from: its page on the hub, at the commit in use, or its own name."""
    if snapshot := hub_snapshot(source):
        return "https://huggingface.co/{}/tree/{}".format(*snapshot)
    return source.name


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds a `config.json` that names a `model_type`."""
    try:
        config = read_config(folder)
    except SpeakError:
        return False
    return isinstance(config.get("model_type"), str)


def _check_replaceable(destination: Path) -> None:
    if not destination.exists():
        return
    if not destination.is_dir() or (
        any(destination.iterdir()) and not is_model_folder(destination)
    ):
        raise ModelFormatError(
            f"{destination} exists and is not a model folder; give another destination"
        )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
