"""Run a compiled kernel on NumPy arrays: in this process, or under a sanitizer in its own."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from . import sanitizers
from .compiler import Binary
from .errors import KernelError

Order = Literal["forward", "reverse", "random"]

_ORDERS: dict[str, int] = {"forward": 0, "reverse": 1, "random": 2}
_SECONDS = 300


@dataclass(frozen=True)
class Schedule:
    """In which order the threads run, and what memory holds before anything is written to it."""

    order: Order = "forward"
    """`forward` and `reverse` run SIMD group after SIMD group from barrier to barrier; `random`
    changes between them at every meeting, and shuffles lanes and threadgroups."""
    seed: int = 0
    poison: int = 0xFF
    """The byte that threadgroup memory and outputs are filled with: 0xFF makes NaN and -1."""


SCHEDULES = (
    Schedule(),
    Schedule("reverse", poison=0x00),
    Schedule("random", seed=1, poison=0x7F),
    Schedule("random", seed=2, poison=0x3C),
)
"""A kernel that is right gives the same under each; 0x3C and 0x7F make numbers, 1.0 and huge."""


class Statistics(NamedTuple):
    """What one dispatch executed."""

    threadgroups: int
    collectives: int
    barriers: int
    threadgroup_memory: int
    """Bytes."""


class Buffer(NamedTuple):
    """An argument of the kernel: a flat array, which for an output is written in place."""

    array: np.ndarray[Any, Any]
    is_output: bool = False


class _Job(ctypes.Structure):
    """`emu::Job` of runtime/executor.h."""

    _fields_ = (
        ("grid", ctypes.c_uint32 * 3),
        ("threadgroup", ctypes.c_uint32 * 3),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("order", ctypes.c_uint32),
        ("threadgroup_memory_limit", ctypes.c_uint32),
        ("poison", ctypes.c_uint32),
        ("error_bytes", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
        ("error", ctypes.c_char_p),
        *((name, ctypes.c_uint64) for name in Statistics._fields),
    )


@dataclass(frozen=True)
class Dispatch:
    """How a kernel is to be run."""

    grid: tuple[int, int, int]
    threadgroup: tuple[int, int, int]
    schedule: Schedule = SCHEDULES[0]
    threadgroup_memory_limit: int = 32768
    """Bytes; what every Apple GPU has."""


def run(binary: Binary, dispatch: Dispatch, buffers: Sequence[Buffer]) -> Statistics | None:
    """Run the kernel; the statistics are of mode `plain` alone.

    Raises:
        KernelError: what the executor or a sanitizer found.
    """
    if binary.mode == "plain":
        return _run_here(binary.path, dispatch, buffers)
    _run_apart(binary.path, dispatch, buffers)
    return None


def _run_here(path: Path, dispatch: Dispatch, buffers: Sequence[Buffer]) -> Statistics:
    error = ctypes.create_string_buffer(512)
    job = _Job(
        grid=dispatch.grid,
        threadgroup=dispatch.threadgroup,
        buffers=(ctypes.c_void_p * len(buffers))(*(b.array.ctypes.data for b in buffers)),
        order=_ORDERS[dispatch.schedule.order],
        threadgroup_memory_limit=dispatch.threadgroup_memory_limit,
        poison=dispatch.schedule.poison,
        error_bytes=len(error),
        seed=dispatch.schedule.seed,
        error=ctypes.cast(error, ctypes.c_char_p),
    )
    if ctypes.CDLL(str(path)).emu_run(ctypes.byref(job)):
        raise KernelError(error.value.decode())
    return Statistics(*(getattr(job, name) for name in Statistics._fields))


def _run_apart(path: Path, dispatch: Dispatch, buffers: Sequence[Buffer]) -> None:
    schedule = dispatch.schedule
    header = (
        *dispatch.grid,
        *dispatch.threadgroup,
        _ORDERS[schedule.order],
        dispatch.threadgroup_memory_limit,
        schedule.poison,
        schedule.seed,
        len(buffers),
    )
    with tempfile.TemporaryDirectory() as folder:
        job, results = Path(folder, "job"), Path(folder, "results")
        with job.open("wb") as file:
            file.write(struct.pack("<9IQI", *header))
            for buffer in buffers:
                file.write(struct.pack("<QI", buffer.array.nbytes, buffer.is_output))
                file.write(buffer.array.tobytes())
        done = subprocess.run(
            [str(path), str(job), str(results)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | sanitizers.ENVIRONMENT,
            timeout=_SECONDS,
        )
        if done.returncode:
            raise KernelError(sanitizers.summary(done.stderr) or done.stderr[-2000:])
        with results.open("rb") as file:
            for buffer in buffers:
                if buffer.is_output:
                    written = np.frombuffer(file.read(buffer.array.nbytes), np.uint8)
                    buffer.array.view(np.uint8).reshape(-1)[:] = written
