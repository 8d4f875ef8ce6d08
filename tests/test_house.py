"""The rules of the house: what may import what, how fast, and how long a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import needs

import mlx_speak

ROOT = Path(mlx_speak.__file__).resolve().parent.parent
HEAVY = ("mlx.core", "mlx_lm", "transformers", "torch")

# The arrows of the house run one way: each room, and the rooms that it must not know.
MODELS = ("translation", "speech")
ABOVE_MODELS = ("pipeline", "player", "scheduler", "hub", "__main__", "convert")
FORBIDDEN = {
    "text": ("mlx", "mlx_speak.nn", *(f"mlx_speak.{x}" for x in (*MODELS, *ABOVE_MODELS))),
    "audio": ("mlx", "mlx_speak.nn", *(f"mlx_speak.{x}" for x in (*MODELS, *ABOVE_MODELS))),
    "nn": tuple(f"mlx_speak.{x}" for x in ("text", "audio", *MODELS, *ABOVE_MODELS)),
    "translation": tuple(f"mlx_speak.{x}" for x in ("speech", *ABOVE_MODELS)),
    "speech": tuple(f"mlx_speak.{x}" for x in ("translation", *ABOVE_MODELS)),
    "kernels": tuple(f"mlx_speak.{x}" for x in ("nn", "text", "audio", *MODELS, *ABOVE_MODELS)),
}
NETWORK = (
    "huggingface_hub",
    "requests",
    "httpx",
    "urllib.request",
    "urllib3",
    "http.client",
    "aiohttp",
    "socket",
)


def files_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def sources() -> list[Path]:
    """Every module that is installed, by its path in the repository."""
    folders = ("mlx_speak", "convert", "kernels")
    return sorted(path for folder in folders for path in files_of(folder))


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] != "mlx_speak":
        parts.insert(0, "mlx_speak")
    return ".".join(parts)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Absolute names that a file imports, and whether at its top level; annotations aside."""
    package = module_name(path).split(".")[:-1]

    def walk(node: ast.AST, top: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{stem}.{alias.name}", top) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, top and not isinstance(node, ast.FunctionDef))

    return walk(ast.parse(path.read_text(encoding="utf-8")), True)


def is_in(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def offences(rule) -> list[str]:
    """'file imports name' for every import for which `rule(room, path, name, top)` holds."""
    found = []
    for path in sources():
        room = module_name(path).split(".")[1]
        for name, top in imports(path):
            if rule(room, path, name, top):
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


def test_there_are_rooms_to_check() -> None:
    rooms = {module_name(path).split(".")[1] for path in sources()}
    assert {"text", "audio", "translation", "speech", "nn", "convert", "kernels", "hub"} <= rooms
    seen = {name for path in sources() for name, _ in imports(path)}
    assert {"mlx.core", "mlx_speak.errors.ModelFormatError"} <= seen


def test_arrows_run_one_way() -> None:
    assert not offences(lambda room, path, name, top: is_in(name, FORBIDDEN.get(room, ())))


def test_only_its_own_command_and_the_hub_know_convert() -> None:
    def rule(room: str, path: Path, name: str, top: bool) -> bool:
        lazily_in_hub = room == "hub" and not top
        return room != "convert" and is_in(name, ("mlx_speak.convert",)) and not lazily_in_hub

    assert not offences(rule)


def test_only_the_hub_opens_the_network() -> None:
    allowed = {ROOT / "mlx_speak" / "hub.py", ROOT / "convert" / "fetch.py"}

    def rule(room: str, path: Path, name: str, top: bool) -> bool:
        of_this_machine = room == "keep" and name == "socket"  # a Unix socket
        return is_in(name, NETWORK) and path not in allowed and not of_this_machine

    assert not offences(rule)


def test_only_audio_opens_a_device() -> None:
    assert not offences(
        lambda room, path, name, top: is_in(name, ("sounddevice",)) and room != "audio"
    )


def test_only_kernels_knows_a_gpu() -> None:
    names = ("metal_kernel", "cuda_kernel", "mx.metal", "mx.cuda")
    knowing = {
        module_name(path).split(".")[1]
        for path in sources()
        if any(name in path.read_text(encoding="utf-8") for name in names)
    }
    assert knowing == {"kernels"}


def test_references_stay_in_the_tests() -> None:
    assert not offences(lambda room, path, name, top: is_in(name, ("torch", "transformers")))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_what_is_not_installed_can_be_read_too() -> None:
    files = [path for folder in ("tests", "benchmarks", "examples") for path in files_of(folder)]
    assert len(files) > 100
    assert [path.name for path in files if len(path.read_text().splitlines()) > 400] == []


def loaded_by(statement: str) -> list[str]:
    """The heavy modules that a fresh interpreter holds after a statement."""
    script = f"import sys; {statement}; print([m for m in {HEAVY} if m in sys.modules])"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return ast.literal_eval(said.stdout)


@pytest.mark.parametrize(
    "statement",
    [
        "import mlx_speak",
        "import mlx_speak.text, mlx_speak.audio, mlx_speak.languages",
        "import mlx_speak.hub, mlx_speak.convert, mlx_speak.convert.packages",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement) == []


def test_the_models_are_free_of_transformers() -> None:
    """mlx_lm on the way to speech would cost two seconds before the first sound."""
    statement = "import mlx_speak.speech.kokoro, mlx_speak.translation.bergamot"
    assert set(loaded_by(statement)) <= {"mlx.core"}


def test_importing_is_quick() -> None:
    """Under 0.3 s beyond the interpreter's own start; the best of five: machines are shared."""

    def start(statement: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        return time.perf_counter() - begun

    times = [start("import mlx_speak") - start("pass") for _ in range(5)]
    assert min(times) < 0.3


def test_public_names_resolve() -> None:
    for name in mlx_speak.__all__:
        assert getattr(mlx_speak, name) is not None
    assert set(mlx_speak.__all__) <= set(dir(mlx_speak))


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", "Failed"), ("", "Skipped"), (None, "Skipped")]
)
def test_a_gap_is_a_failure_where_it_counts(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, outcome: str
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    needs(True, "nothing")
    with pytest.raises(BaseException, match="a network") as caught:  # not an Exception
        needs(False, "a network")
    assert type(caught.value).__name__ == outcome


@pytest.mark.parametrize("first", ["import mlx_speak.convert.fetch", "mlx_speak.convert"])
def test_convert_can_be_called_whatever_was_imported_before(first: str) -> None:
    """It is the name of a package too, which importing puts in the function's place."""
    script = (
        f"import mlx_speak; {first}; import mlx_speak.convert.fetch; mlx_speak.convert('a', 'b')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "ModelNotFoundError: there is no file or folder 'a'" in run.stderr
