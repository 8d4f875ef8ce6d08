"""How fast this machine reads memory, which bounds every decoder that works on one sentence.

    python benchmarks/memory_speed.py [--device cpu|gpu] [--threads 2]

A step of such a decoder reads each weight once and does two operations with it. So the bytes that
it reads, divided by its time, is a share of the figure that is measured here.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from workers import cores, machine

_SIZE = 1 << 30
_TRIES = 5


def make(device: str, threads: int) -> tuple[Callable[[], float], str]:
    """A probe that answers with the bytes a second it read, the best of a few tries."""
    read = _read_gpu() if device == "gpu" else _read_cpu(threads)

    def answer() -> float:
        return max(_SIZE / read() for _ in range(_TRIES))

    where = "gpu, mlx" if device == "gpu" else f"cpu, {threads} threads, numpy"
    return answer, f"the greatest of {_SIZE >> 20} MB of numbers, {where}"


def _read_cpu(threads: int) -> Callable[[], float]:
    import numpy as np

    # To find the greatest takes one vector instruction a load and writes nothing; NumPy lets
    # other threads run meanwhile.
    parts = np.array_split(np.ones(_SIZE // 4, np.float32), threads)
    pool = ThreadPoolExecutor(threads)

    def read() -> float:
        start = time.perf_counter()
        list(pool.map(np.max, parts))
        return time.perf_counter() - start

    return read


def _read_gpu() -> Callable[[], float]:
    import mlx.core as mx

    if not mx.is_available(mx.gpu):
        raise ImportError("MLX has no GPU here")
    numbers = mx.ones(_SIZE // 4, mx.float32, stream=mx.gpu)
    mx.eval(numbers)

    def read() -> float:
        start = time.perf_counter()
        mx.eval(mx.max(numbers, stream=mx.gpu))
        return time.perf_counter() - start

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    print(machine()["machine"])
    answer, about = make(options.device, options.threads)
    print(f"{answer() / 1e9:.1f} GB/s: {about}")


if __name__ == "__main__":
    main()
