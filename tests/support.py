"""What several test rooms share."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest


def needs(condition: object, reason: str) -> None:
    """Skip the test where something it needs is missing; fail instead where `CI` is set.

    A developer without a network may skip; a gap must not pass unseen where it counts.
    """
    if condition:
        return
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"needed here, because CI is set: {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


figures: list[str] = []


def figure(text: str) -> None:
    """Have a measured figure printed at the end of the test run."""
    figures.append(text)


def package(name: str) -> ModuleType:
    """An optional package that a test compares with; where it is missing, as `needs` says."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        needs(False, f"the package {name}: {error}")
        raise


def benchmark(name: str) -> ModuleType:
    """A module of benchmarks/, under a name that no folder of tests has."""
    folder = Path(__file__).parents[1] / "benchmarks"
    full = f"benchmarks_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, folder / f"{name}.py")
        assert spec
        assert spec.loader
        sys.modules[full] = module = importlib.util.module_from_spec(spec)
        # The modules beside it are found while it imports them, also where a folder of tests is
        # called the same, as `speech` is.
        names = [path.stem for path in folder.glob("*.py")]
        hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        sys.path.insert(0, str(folder))
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(folder))
            sys.modules.update(hidden)
    return sys.modules[full]


def needs_emulator() -> None:
    """Run the test where Metal kernels can be emulated: on Linux, with a C++ compiler."""
    if sys.platform == "darwin":
        pytest.skip("a Mac has Metal itself: the emulator is for machines without")
    import metal_emu

    needs(metal_emu.cxx(), "a C++ compiler, to run Metal kernels")
