"""Weights from a converted folder into a module, every name, shape and number checked."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ..errors import ModelFormatError
from ..model_folder import read_config
from .pages import enlarge


def load_weights(model: nn.Module, folder: Path, *, lazy: bool = False) -> None:
    """Fill a module from `model.safetensors`, strictly, and evaluate it.

    The module's own `sanitize` sees the tensors first, where it has one. Where config.json speaks
    of quantization, exactly those layers that come with scales are quantised.

    Args:
        lazy: leave every parameter in the file until this thread first needs it, and its numbers
            unchecked.

    Raises:
        ModelFormatError: the file is missing or damaged, its names or shapes do not fit, or it
            holds numbers that are none.
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
        if not lazy:
            # Lazy arrays belong to this thread's stream, evaluated ones to every thread.
            mx.eval(model.parameters())
            _check_finite(model)
            enlarge(array for _, array in _parameters(model))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(f"{path} cannot be loaded: {error}") from error
    model.eval()


def _parameters(model: nn.Module) -> list[tuple[str, mx.array]]:
    return cast(list[tuple[str, mx.array]], tree_flatten(model.parameters()))


def _check_finite(model: nn.Module) -> None:
    """Raise ValueError naming the first parameter that holds a NaN or an infinity.

    The mean of a row is a number just if all of the row are; as a product it costs next to nothing.
    """
    parameters = {
        k: v for k, v in _parameters(model) if mx.issubdtype(v.dtype, mx.floating) and v.ndim
    }
    means = [
        array @ mx.full(array.shape[-1:], 1 / array.shape[-1], array.dtype)
        for array in parameters.values()
    ]
    finite = mx.stack([mx.isfinite(mean).all() for mean in means]).tolist()
    for name, good in zip(parameters, cast(list[bool], finite), strict=True):
        if not good:
            raise ValueError(f"{name} holds a NaN or an infinity")
