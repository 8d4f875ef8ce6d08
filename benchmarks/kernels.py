"""Every kernel of the house against MLX's own way, at the shapes in which the models meet it.

    python benchmarks/kernels.py [--only projection …] [--rounds 9] [--json FILE] [--report]

On a Mac, or with MLX's CUDA backend, the kernels are first run against float64 references: those
which they meet under emulation in the tests. Then each call is timed, on the kernel and in plain
MLX (`mx.fast` where it has the operation), taking turns: a chain of calls of which each waits for
the one before it, evaluated as one, the graph built beforehand. Weights are more than a cache
holds. Without a GPU the kernels cannot run: the plain times are those of the CPU, and nothing is
said of the kernels but their dispatches and bytes.

A kernel wins where it takes at most 0.97 of the time in the median and is faster in four rounds of
five. One that does not win on a backend is no default there. `--report` prints a block to paste
into an issue.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx_speak  # noqa: F401  before mlx.core, on Linux, for its BLAS

# isort: split
import mlx.core as mx
from graphs import dispatches
from kernel_shapes import Call, calls
from memory_speed import make as memory_probe
from workers import cores, machine, take_turns

from mlx_speak import kernels

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the kernels' references

WINS = 0.97
_COLD = 256 << 20
"""Bytes that no cache of a Mac holds."""
_SECONDS = 0.1
"""Of a chain in plain MLX, about."""
_COLUMNS = ("dispatches", "MB", "GFLOP", "µs plain", "of bandwidth", "µs kernel", "of bandwidth",
            "verdict")  # fmt: skip


def check() -> Iterator[tuple[str, int, list[str]]]:
    """For each operation: its name, the calls compared with float64, and what was wrong."""
    import kernel_cases

    for name, cases in kernel_cases.SETS.items():
        count, problems = 0, []
        for case in cases():
            count += 1
            if problem := case.problem(case.operation):
                problems.append(f"{case.name}: {problem}")
        yield name, count, problems


class Chain:
    """A call, again and again."""

    def __init__(self, call: Call, small: bool):
        self.call = call
        self.first, rest = call.make()
        size = sum(array.nbytes for array in (self.first, *rest))
        count = 1 if small else min(max(_COLD // size, 1), 24)
        self.inputs = [(self.first, rest), *(call.make() for _ in range(count - 1))]
        mx.eval(self.inputs)
        self.links = 2
        if not small:
            self.seconds("ops")
            self.links = min(max(int(_SECONDS / self.seconds("ops")), 2), 200)

    def seconds(self, backend: kernels.Choice) -> float:
        """Of one call, once."""
        with kernels.use(backend):
            x, results = self.first, []
            for link in range(self.links):
                own, rest = self.inputs[link % len(self.inputs)]
                result = self.call.run(x if self.call.again else own, *rest)
                x = self.call.again(result) if self.call.again else x
                results.append(result)
        start = time.perf_counter()
        mx.eval(results)
        return (time.perf_counter() - start) / self.links

    def counts(self) -> dict[str, dict[str, float]]:
        """What it dispatches and reads, in plain MLX and on the kernel."""
        found = {}
        for on in ("ops", "metal"):
            each = dispatches(self.call.run, *self._arrays(), on=on)
            found[on] = {
                "dispatches": len(each),
                "bytes": sum(d.read + d.written for d in each),
                "flops": sum(d.flops for d in each),
            }
        return found

    def _arrays(self) -> list[mx.array]:
        return [self.first, *self.inputs[0][1]]


def measure(
    call: Call, backend: kernels.Backend | None, rounds: int, small: bool
) -> dict[str, Any]:
    """Count and time one call; `backend` is the GPU's, if there is one."""
    chain = Chain(call, small)
    found: dict[str, Any] = {"operation": call.operation, "where": call.where} | chain.counts()
    times: dict[str, list[float]] = {"ops": []} | ({backend: []} if backend else {})
    for name in times:
        chain.seconds(name)  # compiles, and warms up
    for turn in range(rounds):
        for name in take_turns(list(times), turn):
            times[name].append(chain.seconds(name))
    found["plain_seconds"] = statistics.median(times["ops"])
    found["verdict"] = "no GPU here"
    if backend:
        found["kernel_seconds"] = statistics.median(times[backend])
        found["verdict"] = verdict(times["ops"], times[backend])
    return found


def verdict(plain: list[float], ours: list[float]) -> str:
    """Whether times of the kernel win over those of plain MLX, taken in the same rounds."""
    ratio = statistics.median(ours) / statistics.median(plain)
    faster = sum(a < b for a, b in zip(ours, plain, strict=True))
    won = ratio <= WINS and 5 * faster >= 4 * len(plain)
    return f"{'wins' if won else 'does not win'}, {ratio:.2f} of the time"


def row(found: dict[str, Any], bandwidth: float) -> list[str]:
    """The cells of a table, in the order of `_COLUMNS`."""
    plain, ours = found["ops"], found["metal"]
    cells = [
        f"{plain['dispatches']} → {ours['dispatches']}",
        f"{plain['bytes'] / 1e6:.2f} → {ours['bytes'] / 1e6:.2f}",
        f"{plain['flops'] / 1e9:.3f}",
    ]
    for counts, seconds in ((plain, found["plain_seconds"]), (ours, found.get("kernel_seconds"))):
        if seconds is None:
            cells += ["", ""]
        else:
            cells += [f"{1e6 * seconds:.1f}", f"{counts['bytes'] / seconds / bandwidth:.0%}"]
    return [*cells, found["verdict"]]


def table(results: list[dict[str, Any]], bandwidth: float) -> str:
    """All results, in Markdown."""
    lines = [("kernel", "where", *_COLUMNS), ["---"] * (2 + len(_COLUMNS))]
    lines += [[r["operation"], r["where"], *row(r, bandwidth)] for r in results]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="OPERATION", help="not all of them")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--small", action="store_true", help="a trial, at sizes that say nothing")
    parser.add_argument("--json", type=Path, help="keep what was found")
    parser.add_argument("--report", action="store_true", help="print a block for an issue")
    options = parser.parse_args()
    backend = kernels.gpu()
    bandwidth = memory_probe("gpu" if backend else "cpu", cores())[0]()
    about = machine() | {"backend": backend or "cpu", "memory": f"{bandwidth / 1e9:.0f} GB/s"}
    if backend:
        about["device"] = str(mx.device_info().get("device_name"))
    heads = ["\n".join(f"{name}: {value}" for name, value in about.items())]
    print(heads[0], flush=True)

    checked: list[tuple[str, int, list[str]]] = []
    if backend:
        with kernels.use(backend):
            checked = list(check())
    for name, count, problems in checked:
        said = "as in float64" if not problems else f"{len(problems)} wrong, {problems[0]}"
        heads.append(f"{name}: {count} calls {said}")
        print(heads[-1], flush=True)

    results = []
    for call in calls(options.small):
        if not options.only or call.operation in options.only:
            results.append(measure(call, backend, options.rounds, options.small))
            cells = row(results[-1], bandwidth)
            said = (f"{name} {cell}" for name, cell in zip(_COLUMNS, cells, strict=True) if cell)
            print(f"{call.operation}, {call.where}: {', '.join(said)}", flush=True)
    if options.report:
        print("\n<details><summary>mlx_speak kernels</summary>\n\n```")
        print("\n".join(heads))
        print(f"```\n\n{table(results, bandwidth)}\n\n</details>")
    if options.json:
        kept = {"machine": about, "checked": checked, "bandwidth": bandwidth, "calls": results}
        options.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if any(problems for _, _, problems in checked):
        raise SystemExit("a kernel is wrong on this GPU")


if __name__ == "__main__":
    main()
