"""Kokoro in mlx-audio's layout, which mlx-community publishes: read, and written.

mlx-audio (github.com/Blaizzy/mlx-audio, `tts/models/kokoro`) keeps the reference's names and
weight norm; its `sanitize` renames the LSTMs' parameters and turns convolutions to MLX's axes. A
folder is published either way: as `sanitize` takes it (`kokoro-v1_0.safetensors`, mlx-community's
bf16), or as `mlx_audio.convert` left it (`model.safetensors`), its linear layers quantised or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlx_speak.errors import ModelFormatError

Weights = dict[str, np.ndarray]

CHECKPOINT = "kokoro-v1_0.safetensors"
"""The name under which mlx-community publishes what is not quantised."""

_LSTM = {
    "Wx": "weight_ih_l0",
    "Wh": "weight_hh_l0",
    "bias_ih": "bias_ih_l0",
    "bias_hh": "bias_hh_l0",
}


def read_mlx_audio(path: Path, config: Mapping[str, Any]) -> tuple[str, Weights]:
    """One safetensors file, what was renamed, turned round or quantised put back.

    Args:
        config: of the file's folder: `quantization` says how many bits, of a layer by its name
            where it differs, and in which of MLX's modes.

    Returns:
        precision: "float", or as in "8-bit".
        weights: float32 by the reference's names, in torch's axes, with weight norm.

    Raises:
        ModelFormatError: it is no safetensors file, or quantised otherwise than config says.
    """
    import mlx.core as mx

    quantization = config.get("quantization") or config.get("quantization_config") or {}
    precision, weights = "float", {}
    try:
        arrays = mx.load(str(path))
        assert isinstance(arrays, dict)
        for name, array in arrays.items():
            if name.endswith((".scales", ".biases")):
                continue
            stem = name.removesuffix(".weight")
            if f"{stem}.scales" in arrays:
                scheme = {**quantization, **(quantization.get(stem) or {})}
                precision = f"{quantization['bits']}-bit"
                array = mx.dequantize(
                    array,
                    arrays[f"{stem}.scales"],
                    arrays.get(f"{stem}.biases"),
                    group_size=scheme["group_size"],
                    bits=scheme["bits"],
                    mode=scheme.get("mode", "affine"),
                )
            weights[_torch_name(name)] = np.array(array.astype(mx.float32))
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{path} is not a readable safetensors file: {error!r}") from error

    # One convolution whose kernel cannot be taken for its channels tells the axes of all.
    witness = weights.get("text_encoder.cnn.0.0.weight_v", np.empty((0, 0, 0)))
    if witness.ndim == 3 and witness.shape[1] == config.get("text_encoder_kernel_size"):
        weights = {
            name: array.swapaxes(1, 2) if array.ndim == 3 else array
            for name, array in weights.items()
        }
    return precision, weights


def _torch_name(name: str) -> str:
    """Undo mlx-audio's names of LSTM parameters: `Wx_backward` → `weight_ih_l0_reverse`."""
    match = re.fullmatch(r"(.*\.)(Wx|Wh|bias_ih|bias_hh)_(forward|backward)", name)
    if not match:
        return name
    stem, kind, direction = match.groups()
    return stem + _LSTM[kind] + ("_reverse" if direction == "backward" else "")


_WITHOUT_NORM = re.compile(r"\.(F0_proj|N_proj|noise_convs\.\d+)\.weight")


def as_mlx_audio(reference: Mapping[str, np.ndarray]) -> Weights:
    """The reference's parameters as mlx-audio's `sanitize` takes them.

    Args:
        reference: float32 by the reference's names, in torch's axes, with weight norm or without.

    Returns:
        The same, every convolution that mlx-audio norms split into `weight_g` and `weight_v`, and
        PL-BERT with a pooler, on which mlx-audio insists and which it uses for nothing.
    """
    hidden_size = reference["bert_encoder.weight"].shape[1]
    weights: Weights = {
        "bert.pooler.weight": np.zeros((hidden_size, hidden_size), np.float32),
        "bert.pooler.bias": np.zeros(hidden_size, np.float32),
    }
    for name, array in reference.items():
        if name.endswith("position_ids"):
            continue
        if array.ndim == 3 and name.endswith(".weight") and not _WITHOUT_NORM.search(name):
            norm = np.linalg.norm(array, axis=(1, 2), keepdims=True)
            # Of length 1: mlx-audio adds 1e-7 to it. A filter of zeros stays one.
            weights[f"{name}_g"], array = norm, array / np.where(norm == 0, 1, norm)
            name = f"{name}_v"
        weights[name] = array
    return weights
