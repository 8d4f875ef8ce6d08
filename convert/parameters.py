"""What several architectures' checkpoints need done to their parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlx_speak.errors import ModelFormatError

from .safetensors_file import BFLOAT16, widen

if TYPE_CHECKING:
    import mlx.nn as nn


def fold_weight_norm(
    weights: Mapping[str, np.ndarray], gain: str, direction: str
) -> dict[str, np.ndarray]:
    """gain · direction / |direction| as `weight`, the norm over all axes but the first.

    A filter of zeros stays one.

    Args:
        gain, direction: how the names of the two end, instead of in `weight`.

    Raises:
        ModelFormatError: a direction has no gain.
    """
    folded = {}
    for name, array in weights.items():
        if name.endswith(gain):
            continue
        if name.endswith(direction):
            stem = name.removesuffix(direction)
            if stem + gain not in weights:
                raise ModelFormatError(f"the checkpoint lacks {stem + gain}")
            axes = tuple(range(1, array.ndim))
            norm = np.sqrt(np.square(array, dtype=np.float64).sum(axis=axes, keepdims=True))
            scale = weights[stem + gain].reshape(norm.shape) / np.where(norm == 0, 1, norm)
            array = (array * scale).astype(np.float32)
            name = stem + "weight"
        folded[name] = array
    return folded


def stage_blocks(name: str, generator: str, blocks_per_stage: int) -> str:
    """HiFi-GAN numbers its residual blocks through all stages; ours count within each.

    Args:
        generator: what `.resblocks.` follows, the module that has them.
    """
    if not (match := re.match(rf"({re.escape(generator)})\.resblocks\.(\d+)\.(.*)", name)):
        return name
    stage, block = divmod(int(match[2]), blocks_per_stage)
    return f"{match[1]}.stages.{stage}.blocks.{block}.{match[3]}"


def convolution_axes(array: np.ndarray, *, transposed: bool) -> np.ndarray:
    """torch's axes of a one-dimensional convolution's weight → MLX's, (out, kernel, in).

    Args:
        array: (out, in, kernel), or of a transposed convolution (in, out, kernel).
    """
    return np.ascontiguousarray(array.transpose(1, 2, 0) if transposed else array.swapaxes(1, 2))


def parameter_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, by name; none is evaluated."""
    from mlx.utils import tree_flatten

    parameters: dict[str, Any] = dict(tree_flatten(model.parameters()))
    return {name: array.shape for name, array in parameters.items()}


def check_shapes(path: Path, model: nn.Module, found: Mapping[str, np.ndarray]) -> None:
    """Raise ModelFormatError unless names and shapes are those of the model."""
    expected = parameter_shapes(model)
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is unknown" for name in found if name not in expected]
    wrong += [
        f"{name} has shape {found[name].shape}, not {shape}"
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    check_no_faults(path, wrong)


def check_no_faults(path: Path, faults: Sequence[str]) -> None:
    """Raise ModelFormatError for a checkpoint that has any; three are named."""
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelFormatError(f"{path} does not fit its config: {'; '.join(faults[:3])}{more}")


def check_finite(path: Path, name: str, tensor: np.ndarray) -> None:
    """Raise ModelFormatError for a tensor that is not made of finite numbers."""
    if tensor.dtype != BFLOAT16 and tensor.dtype.kind != "f":
        raise ModelFormatError(f"{path}: {name} holds {tensor.dtype}, not floating point")
    for rows in blocks(tensor):
        if not np.isfinite(widen(tensor[rows])).all():
            raise ModelFormatError(f"{path}: {name} holds a NaN or an infinity")


def blocks(tensor: np.ndarray) -> Sequence[slice]:
    """Slices of its first axis, some megabytes each."""
    rows = max(1, (8 << 20) * len(tensor) // max(1, tensor.nbytes))
    return [slice(start, start + rows) for start in range(0, len(tensor), rows)]
