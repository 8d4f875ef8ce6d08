"""How long until the command takes text: with nothing kept, and through the warm process.

    python benchmarks/startup.py [--to pt] [--rounds 10] [--json startup.json]

Each figure is the whole life of `mlx-speak` with an empty text: its start, the models, an output
that is opened and closed, its exit. So it is a bound from above on the time until text is taken.
Whatever else the machine does is in it: run this on a quiet one. The two take turns. "first" is the
run that starts the warm process. The bare interpreter, a part of each, is measured beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workers import machine

from mlx_speak.home import home


def seconds(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, input=b"", check=True, env=environment)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", default="pt", metavar="LANGUAGE")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the measurements there")
    options = parser.parse_args()

    command = [sys.executable, "-m", "mlx_speak"]
    alone = [*command, "--to", options.to, "--output", "null", "--quiet"]
    with tempfile.TemporaryDirectory(prefix="ms") as folder:
        for part in ("models", "blas"):
            Path(folder, part).symlink_to(home(part))
        environment = {**os.environ, "MLX_SPEAK_HOME": folder}
        first = seconds([*alone, "--keep"], environment)
        try:
            raw: dict[str, list[float]] = {"alone": [], "kept": [], "interpreter": []}
            for _ in range(options.rounds):
                raw["alone"].append(seconds(alone, environment))
                raw["kept"].append(seconds([*alone, "--keep"], environment))
                raw["interpreter"].append(seconds([sys.executable, "-c", "pass"], environment))
        finally:
            subprocess.run([*command, "--stop-keeping"], env=environment, check=True)

    medians = {name: statistics.median(times) for name, times in raw.items()}
    here = machine()
    print(", ".join(here.values()))
    print(f"{'first':12} {first * 1e3:8.0f} ms")
    for name, median in medians.items():
        print(f"{name:12} {median * 1e3:8.0f} ms  (best {min(raw[name]) * 1e3:.0f})")
    if options.json:
        found = {"machine": here, "first": first, "medians": medians, "raw": raw}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
