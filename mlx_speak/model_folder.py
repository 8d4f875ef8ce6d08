"""The reader of `config.json`, for every room that opens a model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import ModelFormatError, ModelNotFoundError


def read_config(folder: str | Path, model_type: str | None = None) -> dict[str, Any]:
    """The config.json of a model folder.

    Args:
        model_type: what the config must call itself; None takes any.

    Raises:
        ModelNotFoundError: there is no such folder.
        ModelFormatError: the file is missing or damaged, or of another kind of model.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelNotFoundError(f"there is no model folder {str(folder)!r}")
    path = folder / "config.json"
    if not path.is_file():
        raise ModelFormatError(f"{folder} is not a model folder: it has no config.json")
    config = read_json(path)
    if model_type is not None and config.get("model_type") != model_type:
        found = config.get("model_type")
        raise ModelFormatError(f"{folder} holds a {found!r} model, not a {model_type!r} one")
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object.

    Raises:
        ModelFormatError: it cannot be read, is not JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ModelFormatError(f"{path} is damaged: not a JSON object")
    return value
