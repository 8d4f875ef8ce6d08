"""The number format of a converted folder: floating point type, or quantised weights."""

from __future__ import annotations

import os
from pathlib import Path

from mlx_speak.errors import ModelFormatError
from mlx_speak.model_folder import read_config

from .folder import metadata, save_config
from .report import SILENT, Reporter
from .safetensors_file import write_safetensors

DTYPES = ("float32", "float16", "bfloat16")
BITS = (8, 4)
GROUP_SIZES = (32, 64, 128)


def check_precision(dtype: str | None, bits: int | None, group_size: int) -> None:
    """Raise ModelFormatError for a precision that does not exist, before any work is done."""
    for what, value, known in (
        ("dtype", dtype, (None, *DTYPES)),
        ("bits", bits, (None, *BITS)),
        ("group_size", group_size, GROUP_SIZES),
    ):
        if value not in known:
            raise ModelFormatError(f"{what} must be one of {known}, not {value!r}")


def set_precision(
    folder: Path,
    *,
    dtype: str | None = None,
    bits: int | None = None,
    group_size: int = 64,
    reporter: Reporter = SILENT,
) -> None:
    """Rewrite the weights of a converted folder in another precision, one tensor at a time.

    Args:
        dtype: for every floating-point parameter.
        bits: quantise those linear and embedding layers whose rows divide into groups, of the
            model's `quantized_parts` where it names any.
        group_size: weights that share a scale and a bias.
        reporter: is told how far it is.

    Raises:
        ModelFormatError: the weights are quantised already and would be quantised again.
    """
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    from mlx_speak import hub

    config = read_config(folder)
    if bits and "quantization" in config:
        raise ModelFormatError(f"{folder} is quantised already; convert the original instead")
    model = hub.load_model(folder, lazy=True)
    if dtype:
        model.set_dtype(getattr(mx, dtype))
        config["dtype"] = dtype
    if bits:
        parts = getattr(model, "quantized_parts", ("",))

        def divides(name: str, module: nn.Module) -> bool:
            quantizable = hasattr(module, "to_quantized") and name.startswith(parts)
            return quantizable and module.weight.shape[-1] % group_size == 0

        nn.quantize(model, group_size, bits, class_predicate=divides)
        config["quantization"] = {"group_size": group_size, "bits": bits}
    weights: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    del model  # so that each tensor goes once it is written
    name = config["model_type"]
    reporter.start(name, sum(array.nbytes for array in weights.values()))
    reporter.step(name, f"quantising to {bits} bits" if bits else f"turning into {dtype}")
    path = folder / "model.safetensors"
    written = folder / "model.safetensors.new"
    write_safetensors(written, weights, metadata=metadata(config), progress=reporter.part(name))
    os.replace(written, path)
    save_config(folder, config)
