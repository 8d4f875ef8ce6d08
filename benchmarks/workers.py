"""What the benchmarks share: an engine in a process of its own, and where a figure was measured."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# transformers looks for a package `kernels`, and would take kernels.py beside this file for it.
sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]

Make = Callable[..., tuple[Callable[..., Any], str]]
"""Loads an engine; returns the function that answers requests, and what the engine is."""


class Worker:
    """An engine in a process of its own, so that no engine's libraries or threads meet another's.

    Args:
        make: importable by name, called in that process.
        args: of `make`.
    """

    def __init__(self, make: Make, *args: Any):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # A daemon ends with us, whatever becomes of us.
        self._process = context.Process(target=_serve, args=(theirs, make, args), daemon=True)
        self._process.start()
        theirs.close()
        self.about, self.error, self.load_seconds = self._pipe.recv()
        """`error` says why the engine is not there, or is empty."""

    def __call__(self, *request: Any) -> Any:
        """What the engine answers."""
        self._pipe.send(request)
        return self._pipe.recv()

    def resident_bytes(self) -> int:
        """The memory that it holds now."""
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self._process.pid)], capture_output=True, text=True
        )
        return 1024 * int(said.stdout or 0)

    def close(self) -> int:
        """End the process; returns the most memory it held, in bytes."""
        self._pipe.send(None)
        peak = self._pipe.recv()
        self._process.join()
        return peak


def _serve(pipe: Connection, make: Make, args: tuple[Any, ...]) -> None:
    start = time.perf_counter()
    try:
        answer, about = make(*args)
    except ImportError as error:
        pipe.send(("", str(error), 0.0))
        return
    pipe.send((about, "", time.perf_counter() - start))
    try:
        while (request := pipe.recv()) is not None:
            pipe.send(answer(*request))
    except EOFError:  # nobody will ask any more
        return
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send(peak * (1 if sys.platform == "darwin" else 1024))


class ScriptWorker:
    """An engine in a process of its own under another Python: a script, asked in lines of JSON.

    Args:
        python: the interpreter.
        script: called with `--serve` and the arguments; it runs `answer_lines`.
    """

    def __init__(self, python: Path | str, script: Path, *arguments: str):
        command = [str(python), str(script), "--serve", *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self._answer()

    def __call__(self, *request: Any) -> Any:
        """What the engine answers."""
        assert self._process.stdin
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            raise SystemExit(f"{' '.join(map(str, self._process.args))} ended")
        return json.loads(line)


def answer_lines(make: Make) -> None:
    """In the process of a `ScriptWorker`: answer each line of requests, until there are no more."""
    answers, sys.stdout = sys.stdout, sys.stderr  # where libraries may say what they like
    answer, about = make()
    print(json.dumps(about), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), file=answers, flush=True)


def take_turns(names: list[str], turn: int) -> list[str]:
    """The names, beginning with another one each turn."""
    first = turn % len(names)
    return names[first:] + names[:first]


def use_own_processor() -> dict[str, str]:
    """Take out of the environment what makes OpenBLAS run the code of another processor.

    A machine may set OPENBLAS_CORETYPE for other programs. Returns what was taken out.
    """
    return {name: os.environ.pop(name) for name in ("OPENBLAS_CORETYPE",) if name in os.environ}


def use_threads(count: int) -> None:
    """Have the libraries of the processes to come use so many threads each.

    And let those sleep that wait for work: engines that spin slow the others down four times.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def machine() -> dict[str, str]:
    """Where, when and of which commit this ran."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        processor = models[0].partition(":")[2].strip() if models else processor
    versions = {}
    for package in ("mlx", "numpy", "sentencepiece"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "machine": f"{processor}, {cores()} cores",
        "system": f"macOS {mac}" if (mac := platform.mac_ver()[0]) else platform.system(),
        "python": platform.python_version(),
        "load": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        **versions,
    }


def _commit() -> str:
    """The commit, with "-dirty" where more than the results of benchmarks has changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent
        ).stdout.strip()

    results = (":(top,exclude)README.md", ":(top,exclude)benchmarks/results")
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":(top)", *results)
        commit = git("describe", "--always")
    except OSError:
        return "unknown"
    return f"{commit}{'-dirty' if changed else ''}" if commit else "unknown"
