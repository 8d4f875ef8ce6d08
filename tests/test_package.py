"""What is installed: the wheel and the source archive, built, looked into and tried out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

TRIAL = """
import sys
import mlx_speak as ms
from mlx_speak import kernels
from mlx_speak.text import read_aloud

assert ms.__file__.startswith(sys.prefix), ms.__file__
events = ms.read_stream(b"The tests pass.", "text")
assert "".join(event.text for event in events) == "The tests pass."
assert read_aloud("v1.2", "en") == "version 1 point 2"
assert all(kernel.source() for operation in kernels.OPERATIONS for kernel in operation.kernels)
assert ms.convert.__module__.startswith("mlx_speak.convert")
with ms.Pipeline(None, ms.load_voice("say"), "en", output="trial.wav") as pipe:
    print(*[utterance.state for utterance in pipe.run(ms.read_stream(b"All is well.", "text"))])
"""


def in_process(command: list[object], **options) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, which is built of the source archive as PyPI's is."""
    folder = tmp_path_factory.mktemp("dist")
    tracked = in_process(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT).splitlines()
    source = folder / "source"
    for name in tracked:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(ROOT / name, source / name)
    hook = "from setuptools import build_meta as b; import sys; b.build_{}(sys.argv[1])"
    in_process([sys.executable, "-c", hook.format("sdist"), folder], cwd=source)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    unpacked = folder / archive.name.removesuffix(".tar.gz")
    in_process([sys.executable, "-c", hook.format("wheel"), folder], cwd=unpacked)
    return folder


def test_the_wheel_is_small_and_holds_the_package_alone(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size < 1_000_000
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mlx_speak"}
    for needed in (
        "py.typed",
        "native/blas.c",
        "kernels/lstm.metal",
        "kernels/cuda.h",
        "convert/xtts.py",
    ):
        assert f"mlx_speak/{needed}" in names
    shipped = {name for name in names if name.startswith("mlx_speak/")}
    for folder in ("mlx_speak", "convert", "kernels"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".metal", ".c", ".h", ".json", ".txt"):
                relative = path.relative_to(ROOT).as_posix()
                installed = relative if folder == "mlx_speak" else f"mlx_speak/{relative}"
                assert installed in shipped


def test_it_runs_in_an_environment_of_its_own(built: Path, tmp_path: Path) -> None:
    """Its dependencies are this environment's: whether they are named right is for `make wheel`."""
    (wheel,) = built.glob("*.whl")
    environment = tmp_path / "venv"
    venv.create(environment)
    python = environment / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    library = Path(in_process([python, "-c", where]).strip())
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    in_process([*pip, wheel])
    (library / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    said = in_process([python, "-I", "-c", TRIAL], cwd=tmp_path, env=clean)
    assert said == "heard\n"
    assert (tmp_path / "trial.wav").stat().st_size > 10_000
    help_ = in_process([environment / "bin" / "mlx-speak", "--help"], cwd=tmp_path, env=clean)
    assert "--to" in help_


def test_every_dependency_of_a_user_is_pinned_in_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = PROJECT["optional-dependencies"]
    users = [extras[name] for name in extras if name not in ("docs", "test", "oracle")]
    for line in [*PROJECT["dependencies"], *(line for lines in users for line in lines)]:
        requirement = Requirement(line)
        if requirement.name == "mlx-speak":
            continue
        version = pinned[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.specifier.contains(version), f"{line}, but {version} is pinned"


def test_the_metadata_says_what_it_is(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("METADATA")]
    metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert "mlx_speak" in metadata.get_payload()
