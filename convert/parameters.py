"""What several architectures' checkpoints need done to their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mlx_speak.errors import ModelFormatError

from .safetensors_file import BFLOAT16, widen


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


def check_shapes(
    path: Path, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise ModelFormatError unless names and shapes are those of the model; names three faults."""
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is unknown" for name in found if name not in expected]
    wrong += [
        f"{name} has shape {found[name]}, not {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelFormatError(f"{path} does not fit its config: {'; '.join(wrong[:3])}{more}")


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
