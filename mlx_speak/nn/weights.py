"""Weights from a converted folder into a module, every name and shape checked."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import mlx.core as mx
import mlx.nn as nn

from ..errors import ModelFormatError
from ..model_folder import read_config


def load_weights(model: nn.Module, folder: Path) -> None:
    """Fill a module from `model.safetensors`, strictly, and evaluate it.

    The module's own `sanitize` sees the tensors first, where it has one. Where config.json speaks
    of quantization, exactly those layers that come with scales are quantised.

    Raises:
        ModelFormatError: the file is missing or damaged, or its names or shapes do not fit.
    """
    path = folder / "model.safetensors"
    config = read_config(folder)
    try:
        weights = cast(dict[str, mx.array], mx.load(str(path)))
        if hasattr(model, "sanitize"):
            weights = model.sanitize(weights)
        if quantization := config.get("quantization"):
            nn.quantize(
                model,
                group_size=quantization["group_size"],
                bits=quantization["bits"],
                class_predicate=lambda name, module: (
                    hasattr(module, "to_quantized") and f"{name}.scales" in weights
                ),
            )
        model.load_weights(list(weights.items()), strict=True)
        # Lazy arrays belong to this thread's stream, evaluated ones to every thread.
        mx.eval(model.parameters())
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(f"{path} cannot be loaded: {error}") from error
    model.eval()
