"""A fast BLAS for MLX's CPU backend on Linux; does nothing elsewhere.

MLX's Linux wheel brings the reference BLAS: a few GFLOP/s where the machine has hundreds.
Of libraries loaded globally the first answers, so another one takes its place if it is loaded
before `mlx.core`. That is a small forwarding library, `native/`, compiled once, over the OpenBLAS
that some Python package already carries (`scipy-openblas32`, else NumPy itself) or a system one.

Environment:
    MLX_SPEAK_BLAS: `off`, or the path of a CBLAS library to use.
    OPENBLAS_NUM_THREADS, OPENBLAS_CORETYPE, …: OpenBLAS's own, as always.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from .before_mlx import provide_blas

_CODE = Path(__file__).with_name("native")
_COMPILERS = ("cc", "gcc", "clang")
_SYSTEM_OPENBLAS = "libopenblas.so.0"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")

_description = "MLX's own BLAS"
_library: ctypes.CDLL | None = None


class Provider(NamedTuple):
    """A CBLAS library, and how its build names `cblas_sgemm` and types its integers."""

    path: str
    prefix: str = ""
    suffix: str = ""
    integer: str = "int"


def describe() -> str:
    """The BLAS that MLX's CPU backend uses: its library, kernels and threads."""
    provide_blas()
    return _description


def library() -> ctypes.CDLL | None:
    """What `native/` is compiled to, if MLX's products are computed by it."""
    return _library


def provide() -> None:
    """Load a fast BLAS before MLX does; without one, say on the log what would help."""
    choice = os.environ.get("MLX_SPEAK_BLAS", "")
    if sys.platform != "linux" or choice.lower() == "off":
        return
    if "mlx.core" in sys.modules:
        _warn("mlx.core was imported first: import mlx_speak before it")
        return
    _keep_freed_memory()
    for provider in _providers(choice):
        if _forward(provider):
            return
    if not choice and _load_directly(_SYSTEM_OPENBLAS):
        return
    if choice:
        _warn(f"MLX_SPEAK_BLAS={choice} is not a CBLAS library, or there is no C compiler")
    else:
        _warn("install a C compiler (gcc), or OpenBLAS (on Debian libopenblas0-pthread)")


def _keep_freed_memory() -> None:
    """Let glibc keep what MLX frees, up to 1 GB, instead of giving it back to the system.

    MLX caches buffers on a GPU but not on the CPU, where every array of some megabytes came in
    fresh pages: 200,000 page faults for six seconds of speech, a fifth of the time they took.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for parameter in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            mallopt(parameter, 1 << 30)


def _providers(choice: str) -> Iterator[Provider]:
    if choice:
        yield Provider(choice)
        yield Provider(choice, "scipy_")
        yield Provider(choice, "scipy_", "64_", "int64_t")
        return
    for path in _package_files("scipy_openblas32", "lib/libscipy_openblas*.so"):
        yield Provider(path, "scipy_")
    for path in _package_files("numpy", "../numpy.libs/libscipy_openblas64_*.so"):
        yield Provider(path, "scipy_", "64_", "int64_t")
    yield Provider(_SYSTEM_OPENBLAS)


def _package_files(package: str, pattern: str) -> list[str]:
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or []
    return [str(path.resolve()) for folder in folders for path in Path(folder).glob(pattern)]


def _forward(provider: Provider) -> bool:
    """Load the forwarding library over that provider. False if either cannot be had."""
    global _description, _library
    with _forwarding_library(provider.integer) as path:
        if path is None:
            return False
        try:
            library = ctypes.CDLL(str(path))
            names = (provider.path, provider.prefix, provider.suffix)
            if library.mlx_speak_blas_open(*(os.fsencode(name) for name in names), _cores()):
                return False
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        except OSError:
            return False
    library.mlx_speak_blas_config.restype = ctypes.c_char_p
    config = library.mlx_speak_blas_config().decode(errors="replace").strip()
    threads = library.mlx_speak_blas_threads() or "its own choice of"
    _library = library
    _description = f"{config or 'CBLAS'}, {threads} threads, from {provider.path}"
    return True


def _load_directly(name: str) -> bool:
    global _description
    try:
        ctypes.CDLL(name, ctypes.RTLD_GLOBAL).cblas_sgemm  # noqa: B018
    except (OSError, AttributeError):
        return False
    _description = f"{name}, loaded as it is"
    return True


@contextlib.contextmanager
def _forwarding_library(integer: str) -> Iterator[Path | None]:
    """The compiled sources: from the cache, or for this process alone if there can be no cache."""
    import hashlib
    import tempfile

    recipe = f"{integer} {_processor()} ".encode() + b"".join(
        path.read_bytes() for path in sorted(_CODE.glob("*.[ch]"))
    )
    name = f"blas-{hashlib.sha256(recipe).hexdigest()[:16]}.so"
    with contextlib.ExitStack() as stack:
        try:
            from .home import home

            library = home("blas") / name
            if not _is_private(library):
                with tempfile.TemporaryDirectory(dir=library.parent) as folder:
                    if _compile(Path(folder, name), integer):
                        Path(folder, name).replace(library)
        except OSError:
            library = Path(stack.enter_context(tempfile.TemporaryDirectory()), name)
            _compile(library, integer)
        yield library if _is_private(library) else None


def _is_private(path: Path) -> bool:
    """Whether it is a file that nobody else can have written: it will be run."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _processor() -> str:
    """What compiled code depends on; machines of several kinds may share a home."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    features = (line for line in lines if line.startswith(("flags", "Features")))
    return f"{os.uname().machine} {next(features, '')}"


def _compile(target: Path, integer: str) -> bool:
    import shutil
    import subprocess

    options = ["-O3", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread"]
    options.append(f"-DBLAS_INT={integer}")
    # Not every compiler knows this processor by itself.
    attempts = itertools.product(filter(shutil.which, _COMPILERS), (["-march=native"], []))
    for compiler, native in attempts:
        command = [
            compiler,
            *options,
            *native,
            "-o",
            str(target),
            *map(str, sorted(_CODE.glob("*.c"))),
            "-ldl",
            "-lm",
        ]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode == 0:
            target.chmod(0o700)
            return True
    return False


def _cores() -> int:
    """Cores that this process may use, as the control group limits them."""
    if any(variable in os.environ for variable in _THREAD_VARIABLES):
        return 1 << 16  # the user has decided, and OpenBLAS has read it
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups of version 2, or no quota ("max")
        return cores


def _warn(remedy: str) -> None:
    """Log one line, if it is MLX's CPU wheel with its reference BLAS that is installed."""
    if _package_files("mlx", "../mlx_cpu.libs/libblas-*"):
        import logging

        log = logging.getLogger("mlx_speak")
        log.warning("MLX's products will be many times slower on this CPU than need be: %s", remedy)
