"""Translators against their peers: the same input, one process each, taking turns.

    python benchmarks/translation.py --model bergamot [--pair en-pt] [--texts 296]
    python benchmarks/translation.py --model nllb [--device cpu|gpu] [--engines NAME,NAME …]

`--json FILE` keeps everything that was measured. The models' options are in `--model NAME --help`.

A variable such as OPENBLAS_CORETYPE, which a machine may set for other programs, makes OpenBLAS
take the code of another processor. The engines run without it, as the first line says.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import bergamot
import nllb
from workers import machine, use_own_processor

MODELS = {"bergamot": bergamot, "nllb": nllb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], add_help=False)
    parser.add_argument("--model", choices=MODELS, default="bergamot")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    model = MODELS[parser.parse_known_args()[0].model]
    parser.add_argument("-h", "--help", action="help")
    model.add_options(parser)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    dropped = use_own_processor()

    here = machine() | {"dropped": str(dropped or "nothing")}
    print("  ".join(f"{key}: {value}" for key, value in here.items()))
    found = {"machine": here, **model.run(options)}
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
