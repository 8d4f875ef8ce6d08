"""Bring original checkpoints into folders that `mlx_speak` loads.

    convert("hexgrad/Kokoro-82M", "kokoro-mlx", dtype="bfloat16")

is `python -m mlx_speak.convert hexgrad/Kokoro-82M kokoro-mlx --dtype bfloat16`. Only this package
knows the parameter names of other frameworks: one file an architecture.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.model_folder import read_config

from .folder import atomic_folder
from .report import SILENT, Reporter


@dataclass(frozen=True)
class Architecture:
    """A kind of checkpoint; `convert_<name>` in the module of that name reads it."""

    name: str
    what: str

    @property
    def convert(self) -> Callable[..., Any]:
        module = importlib.import_module(f"{__name__}.{self.name}")
        return getattr(module, f"convert_{self.name}")


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture("kokoro", "Kokoro-82M (.pth, .safetensors, .onnx, or a folder with one)"),
        Architecture("nllb", "NLLB-200 and M2M100 (a folder in the hub's layout, or its id there)"),
        Architecture("xtts", "XTTS v2 (a folder with config.json and model.pth, or its id)"),
        Architecture("bergamot", "Bergamot (a folder with model*.bin, vocab*.spm and lex*.bin)"),
    )
}


LAYOUTS = (None, "mlx-audio")
"""What `convert` writes: our folders, or those of another."""


def convert(
    source: str | Path,
    destination: str | Path,
    *,
    dtype: str | None = None,
    bits: int | None = None,
    group_size: int = 64,
    layout: str | None = None,
    reporter: Reporter = SILENT,
) -> Path:
    """Convert a checkpoint, or give a converted folder another precision.

    Args:
        source: a file, a folder, or an id on the hub. Architectures: see `ARCHITECTURES`.
        destination: the folder to write; it appears whole or not at all.
        dtype: "float32", "float16" or "bfloat16"; None keeps the source's.
        bits: quantise linear and embedding layers to 8 or 4 bits in groups of `group_size`.
        layout: None writes what mlx_speak loads; "mlx-audio" writes an original checkpoint of
            Kokoro as mlx-audio loads it, in floating point.
        reporter: is told what goes on, the licence included.

    Returns:
        The destination.

    Raises:
        ModelNotFoundError: the source is nowhere.
        ModelFormatError: it is damaged, or of an architecture that is not supported, or cannot be
            written as asked.
    """
    from mlx_speak import hub

    from .precision import check_precision, set_precision

    check_precision(dtype, bits, group_size)
    if layout not in LAYOUTS:
        raise ModelFormatError(f"layout must be one of {LAYOUTS}, not {layout!r}")
    source, destination = _local(source), Path(destination).expanduser().absolute()
    if layout == "mlx-audio":
        return _as_mlx_audio(source, destination, dtype, bits, reporter)
    with atomic_folder(destination) as folder:
        if hub.is_converted(source):
            shutil.copytree(source, folder, dirs_exist_ok=True)
        else:
            ARCHITECTURES[detect(source)].convert(source, folder, reporter=reporter)
        if dtype or bits:
            set_precision(folder, dtype=dtype, bits=bits, group_size=group_size, reporter=reporter)
    return destination


def _as_mlx_audio(
    source: Path, destination: Path, dtype: str | None, bits: int | None, reporter: Reporter
) -> Path:
    from mlx_speak import hub

    from .kokoro import export_kokoro

    if bits:
        raise ModelFormatError(
            "mlx-audio quantises its own way: convert without bits, then "
            f"'python -m mlx_audio.convert --hf-path {destination} -q --q-bits {bits}'"
        )
    if hub.is_converted(source) or detect(source) != "kokoro":
        raise ModelFormatError(
            f"{source} is no original checkpoint of Kokoro, the one architecture that mlx-audio "
            "has too: give hexgrad/Kokoro-82M, or a .pth, .safetensors or .onnx file of it"
        )
    return export_kokoro(source, destination, dtype=dtype, reporter=reporter)


def detect(source: Path) -> str:
    """The architecture of a checkpoint, by the files it has and the names in its config.

    Raises:
        ModelFormatError: none that is supported; the message lists those that are.
    """
    config: Any = None
    if source.is_file():
        if source.suffix in (".pth", ".onnx", ".safetensors"):
            with contextlib.suppress(ModelFormatError):
                config = read_config(source.parent)
            # Kokoro needs no config beside it; its converter checks the names.
            return "xtts" if (config or {}).get("model") == "xtts" else "kokoro"
    elif source.is_dir():
        with contextlib.suppress(ModelFormatError):
            config = read_config(source)
        config = config or {}
        if config.get("model_type") == "m2m_100":
            return "nllb"
        if (
            config.get("model_type") == "kokoro"
            or {"istftnet", "plbert"} <= config.keys()
            or any(source.glob("kokoro*.onnx"))
        ):
            return "kokoro"
        if config.get("model") == "xtts":
            return "xtts"
        if any(source.glob("model*.bin")) and any(source.glob("*vocab*.spm")):
            return "bergamot"
    stated = (config or {}).get("model_type") or (config or {}).get("model")
    known = "; ".join(architecture.what for architecture in ARCHITECTURES.values())
    raise ModelFormatError(
        f"{source} is {f'of type {stated!r}, which' if stated else 'a model that'} "
        f"this version cannot read. Supported: {known}"
    )


def _local(source: str | Path) -> Path:
    """The file or folder, or what the hub holds under that id."""
    from mlx_speak import hub

    path = Path(source).expanduser()
    if path.exists():
        return path
    if (
        isinstance(source, str)
        and source.count("/") == 1
        and not source.startswith((".", "/", "~"))
    ):
        return hub.download(hub.repository(source))
    raise ModelNotFoundError(f"there is no file or folder {str(source)!r}")


class _CallableModule(types.ModuleType):
    """`mlx_speak.convert` is this module as well as a public function: calling it converts."""

    def __call__(self, *args: Any, **kwargs: Any) -> Path:
        return convert(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
