"""Compile units with the compilers of the machine; what was compiled is kept by its content.

Environment:
    METAL_EMU_CXX: the C++ compiler, by default g++, else clang++.
    METAL_EMU_CLANG: the clang of the strict check, by default the newest of those known to work.
    METAL_EMU_CACHE: where compiled kernels are kept, by default mlx_speak's own cache.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlx_speak.home import home

from .errors import CompileError

Mode = Literal["plain", "address", "thread"]
"""`plain` runs in this process; the others under Address- and UndefinedBehaviorSanitizer, or under
ThreadSanitizer, in one of their own."""

_HERE = Path(__file__).parent
_RUNTIME = ("executor.cpp", "scheduler.cpp", "fiber.cpp", "program.cpp")
_COMMON = ("-std=c++17", "-ffp-contract=off", "-ftrivial-auto-var-init=pattern")
_WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Werror=uninitialized",
    *(f"-Wno-{name}" for name in ("unused", "unused-parameter", "unknown-pragmas", "attributes")),
)
_MODES: dict[Mode, tuple[str, ...]] = {
    "plain": ("-O2", "-fPIC", "-fvisibility=hidden"),
    "address": (
        *("-O1", "-g", "-fno-omit-frame-pointer", "-DEMU_PROGRAM", "-DEMU_ASAN"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
    ),
    "thread": ("-O1", "-g", "-DEMU_PROGRAM", "-DEMU_TSAN"),
}
# OpenCL's optional features that Metal has not. Without the generic address space a pointer that
# names none is a thread's own, and mixing two is an error, as in Metal.
_ABSENT = "-cl_khr_fp64," + ",".join(
    f"-__opencl_c_{name}" for name in ("fp64", "pipes", "device_enqueue", "generic_address_space")
)


@dataclass(frozen=True)
class Binary:
    """A compiled kernel: a library for mode `plain`, else a program."""

    path: Path
    mode: Mode
    warnings: str


def cxx() -> str | None:
    """The C++ compiler, or None where there is none."""
    return _first("METAL_EMU_CXX", "g++", "clang++")


def clang() -> str | None:
    """The clang of the strict check, or None where there is none."""
    return _first("METAL_EMU_CLANG", "clang", *(f"clang-{n}" for n in range(22, 13, -1)))


def compile_unit(unit: str, mode: Mode) -> Binary:
    """Compile a unit that `translate.executable_unit` wrote.

    Raises:
        CompileError: with what the compiler said.
    """
    runtime, options = _runtime(mode), [*_COMMON, *_MODES[mode]]
    sanitize = ["-fsanitize=thread"] if mode == "thread" else []
    link = ["-shared"] if mode == "plain" else []
    key = _key(unit, runtime[0].name)
    target = _cache() / f"{key}{'.so' if mode == 'plain' else ''}"
    warnings = target.with_suffix(".warnings")
    if not target.exists():
        include = f"-I{_HERE / 'include'}"
        with _replacing(target) as temporary, _replacing(warnings) as said:
            said.write_text(
                _run(_compiler(), *options, *sanitize, *_WARNINGS, include, "-x", "c++", "-",
                     "-x", "none", *map(str, runtime), *link, "-o", str(temporary), text=unit)
            )  # fmt: skip
    return Binary(target, mode, warnings.read_text())


def check_strictly(unit: str) -> None:
    """Have clang read a unit that `translate.strict_unit` wrote.

    Raises:
        CompileError: an address space is mixed up, a type is none of Metal's, ...
    """
    compiler = clang()
    if compiler is None:
        raise CompileError("there is no clang for the strict check")
    _run(compiler, "-x", "cl", "-cl-std=clc++2021", "-Xclang", f"-cl-ext={_ABSENT}",
         "-target", "spir64-unknown-unknown", "-fsyntax-only", "-Wall", "-Wno-undefined-inline",
         "-Wno-unused", f"-I{_HERE / 'strict'}", "-", text=unit)  # fmt: skip


def _first(variable: str, *names: str) -> str | None:
    return os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)


def _compiler() -> str:
    compiler = cxx()
    if compiler is None:
        raise CompileError("there is no C++ compiler: install g++, or name one in METAL_EMU_CXX")
    return compiler


def _cache() -> Path:
    folder = os.environ.get("METAL_EMU_CACHE")
    if not folder:
        return home("metal_emu")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


@functools.cache
def _sources() -> str:
    """What a compiled kernel depends on beside its own unit."""
    files = sorted([*(_HERE / "include").rglob("*"), *(_HERE / "runtime").iterdir()])
    return "".join(file.read_text() for file in files if file.is_file())


def _key(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


@functools.cache
def _runtime(mode: Mode) -> list[Path]:
    """The executor's objects. They are never instrumented by ThreadSanitizer, which is to see what
    the kernel does with memory, not how its threads are switched."""
    options = [*_COMMON, *_MODES[mode]]
    version = _run(_compiler(), "--version")
    key = _key(version, repr(options), _sources())
    objects = []
    for name in _RUNTIME:
        target = _cache() / f"{key}.{name}.o"
        if not target.exists():
            with _replacing(target) as temporary:
                source = str(_HERE / "runtime" / name)
                _run(_compiler(), *options, "-c", source, "-o", str(temporary))
        objects.append(target)
    return objects


class _replacing:
    """A path to write to that takes the target's place at the end, so that none is half written."""

    def __init__(self, target: Path):
        self._target = target
        self._temporary = target.with_name(f"{target.stem}.{os.getpid()}{target.suffix}")

    def __enter__(self) -> Path:
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._temporary.replace(self._target)
        else:
            self._temporary.unlink(missing_ok=True)


def _run(*command: str, text: str | None = None) -> str:
    """Run a compiler; what it printed, which for a compilation that succeeds is its warnings."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout + done.stderr
