"""Packages arrive whole, checked and once, whatever goes wrong on the way."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlx_speak.convert import fetch
from registry import npm_registry, sha256, write_tarball, write_wheel
from support import needs

from mlx_speak.errors import ModelFormatError, ModelNotFoundError


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """A folder that is pip's only source of packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What clients were started for."""
    started: list[str] = []
    run = fetch._run

    def counted(what: str, *rest: object) -> None:
        started.append(what)
        run(what, *rest)

    monkeypatch.setattr(fetch, "_run", counted)
    return started


def leftovers(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "packages").iterdir())


def test_a_wheel_is_fetched_once(index: Path, home: Path, runs: list[str]) -> None:
    wheel = write_wheel(index, "parcel", "1.0", {"parcel/data.bin": b"data"})
    arrived: list[int] = []
    first = fetch.pypi("parcel", "1.0", sha256=sha256(wheel), progress=arrived.append)
    second = fetch.pypi("parcel", "1.0", sha256=sha256(wheel))
    assert first == second
    assert first.name == wheel.name
    assert first.read_bytes() == wheel.read_bytes()
    assert arrived[-1] == wheel.stat().st_size
    assert runs == ["parcel 1.0 from PyPI"]
    assert leftovers(home) == [sha256(wheel)]


def test_only_the_user_may_look_into_the_cache(index: Path, home: Path) -> None:
    wheel = write_wheel(index, "parcel", "1.0", {})
    file = fetch.pypi("parcel", "1.0", sha256=sha256(wheel))
    for folder in (home, home / "packages", file.parent):
        assert folder.stat().st_mode & 0o077 == 0


def test_the_linux_wheel_is_taken_on_every_machine(index: Path) -> None:
    linux = "cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64"
    wanted = write_wheel(index, "parcel", "1.0", {"data": b"linux"}, linux)
    for tag in ("cp38-abi3-macosx_11_0_arm64", "cp38-abi3-win_amd64"):
        write_wheel(index, "parcel", "1.0", {"data": tag.encode()}, tag)
    assert fetch.pypi("parcel", "1.0", sha256=sha256(wanted)).name == wanted.name


def test_a_wrong_hash_names_both_and_leaves_nothing(index: Path, home: Path) -> None:
    wheel = write_wheel(index, "parcel", "1.0", {})
    with pytest.raises(ModelFormatError) as caught:
        fetch.pypi("parcel", "1.0", sha256="0" * 64)
    assert sha256(wheel) in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert leftovers(home) == []
    assert fetch.pypi("parcel", "1.0", sha256=sha256(wheel)).is_file()


def test_a_file_damaged_in_the_cache_is_fetched_again(index: Path, runs: list[str]) -> None:
    wheel = write_wheel(index, "parcel", "1.0", {})
    fetch.pypi("parcel", "1.0", sha256=sha256(wheel)).write_bytes(b"half a fi")
    assert sha256(fetch.pypi("parcel", "1.0", sha256=sha256(wheel))) == sha256(wheel)
    assert len(runs) == 2


def test_a_missing_package_says_what_the_client_said(index: Path, home: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"(?s)could not fetch absent 1\.0.*No match"):
        fetch.pypi("absent", "1.0", sha256="0" * 64)
    assert leftovers(home) == []


def test_the_build_of_a_source_archive_does_not_run(index: Path, tmp_path: Path) -> None:
    witness = tmp_path / "it ran"
    code = f"open({str(witness)!r}, 'w').close()".encode()
    backends = {
        "legacy": b"",
        "pyproject": b"[build-system]\nrequires = ['no-such-tool']\nbuild-backend = 'maturin'\n",
        "nested": b"[build-system]\nrequires = []\nbuild-backend = 'a.b:c.d'\n",
    }
    for name, pyproject in backends.items():
        files = {f"{name}-1.0/setup.py": code, f"{name}-1.0/PKG-INFO": b"Metadata-Version: 2.1\n"}
        if pyproject:
            files[f"{name}-1.0/pyproject.toml"] = pyproject
        archive = write_tarball(index / f"{name}-1.0.tar.gz", files)
        file = fetch.pypi(name, "1.0", sha256=sha256(archive), sdist=True)
        assert file.read_bytes() == archive.read_bytes()
    assert not witness.exists()


def test_many_ask_and_one_fetches(index: Path, runs: list[str]) -> None:
    wheel = write_wheel(index, "parcel", "1.0", {"data": os.urandom(100_000)})
    found: list[Path] = []

    def ask() -> None:
        found.append(fetch.pypi("parcel", "1.0", sha256=sha256(wheel)))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert len(runs) == 1


def test_progress_is_read_while_the_client_moves_its_files(tmp_path: Path) -> None:
    stop = threading.Event()

    def move() -> None:
        while not stop.is_set():
            (tmp_path / "a" / "b").mkdir(parents=True)
            (tmp_path / "a" / "b" / "file").write_bytes(b"12345")
            shutil.rmtree(tmp_path / "a")

    mover = threading.Thread(target=move)
    mover.start()
    try:
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            assert fetch._largest_file(tmp_path) in (0, 5)
    finally:
        stop.set()
        mover.join()


def test_an_interrupt_stops_the_client_and_leaves_nothing(
    index: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = tmp_path / "alive"
    endless = (
        f"import time, os, sys; open({str(alive)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    monkeypatch.setattr(fetch, "_pip", lambda: [sys.executable, "-c", endless])

    def interrupt(_: int) -> None:
        if alive.is_file() and alive.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.pypi("parcel", "1.0", sha256="0" * 64, progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(alive.read_text()), 0)
    assert leftovers(home) == []


def test_what_a_killed_process_left_is_discarded(index: Path, home: Path) -> None:
    wheel = write_wheel(index, "parcel", "1.0", {})
    script = (
        "import sys; from mlx_speak.convert import fetch;"
        "fetch._pip = lambda: [sys.executable, '-c', 'import time; time.sleep(5)'];"
        f"fetch.pypi('parcel', '1.0', sha256={sha256(wheel)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 30
    while not list(home.glob("packages/.partial-*/log")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert leftovers(home) != []
    assert fetch.pypi("parcel", "1.0", sha256=sha256(wheel)).is_file()
    assert leftovers(home) == [sha256(wheel)]


def test_npm_packs_without_running_scripts(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(shutil.which("npm"), "npm")
    witness = tmp_path / "it ran"
    scripts = dict.fromkeys(("prepack", "prepare", "postinstall"), f"touch '{witness}'")
    manifest = {"name": "parcel", "version": "1.0.0", "scripts": scripts}
    files = {
        "package/package.json": str(manifest).replace("'", '"').encode(),
        "package/a.bin": b"a",
    }
    tarball = write_tarball(tmp_path / "parcel-1.0.0.tgz", files)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with npm_registry({("parcel", "1.0.0"): tarball}) as url:
        monkeypatch.setenv("npm_config_registry", url)
        file = fetch.npm("parcel", "1.0.0", sha256=sha256(tarball))
        with pytest.raises(ModelNotFoundError, match="404"):
            fetch.npm("absent", "1.0.0", sha256="0" * 64)
    assert file.read_bytes() == tarball.read_bytes()
    assert not witness.exists()


def test_without_npm_the_message_names_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(fetch.MissingClientError, match=r"npm, which is not installed.*Node\.js"):
        fetch.npm("parcel", "1.0", sha256="0" * 64)


def test_pip_is_found_where_the_environment_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    hidden = {"pip"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in hidden else find(name)
    )
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert fetch._pip() == ["/bin/uv", "tool", "run", "pip"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    hidden.add("ensurepip")
    with pytest.raises(fetch.MissingClientError, match="ensurepip"):
        fetch._pip()
    hidden.remove("ensurepip")
    needs(list(Path(find("ensurepip").origin).parent.glob("_bundled/pip-*.whl")), "bundled pip")
    said = subprocess.run([*fetch._pip(), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("pip ")
