"""A corpus translated and voiced, line by line, by many processes or machines; goes on if killed:
mlx.launch -n 4 --backend ring python examples/corpus.py in.txt out.txt --to pt --voice kokoro"""

import argparse
import json
import os
import time
from pathlib import Path

import mlx_speak as ms  # before mlx, on Linux, for its BLAS

# isort: split
import mlx.core as mx

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("input", type=Path)
parser.add_argument("output", type=Path, help="written in order when all is done")
parser.add_argument("--to", default="pt")
parser.add_argument("--voice", help="that makes a WAV of each line, in OUTPUT.parts")
args = parser.parse_args()
translator = ms.load_translator(ms.default_translator("en", args.to))
voice = ms.load_voice(args.voice) if args.voice else None
group = mx.distributed.init()  # the ring's or mpirun's (Debian: MLX_MPI_LIBNAME=libmpi.so.40)
texts = args.input.read_text("utf-8").splitlines()
parts = args.output.with_name(f"{args.output.name}.parts")
parts.mkdir(parents=True, exist_ok=True)


def done() -> dict[int, str]:
    lines = [line for path in parts.glob("*.jsonl") for line in path.open(encoding="utf-8")]
    return dict(json.loads(line) for line in lines if line.endswith("\n"))  # none half written


missing = sorted(set(range(len(texts))) - set(done()))
mx.eval(mx.distributed.all_sum(mx.ones(1)))  # nobody writes before all have read
with open(parts / f"{time.time_ns()}-{os.getpid()}.jsonl", "w", encoding="utf-8") as file:
    for number in missing[group.rank() :: group.size()]:
        text = translator.translate(texts[number], "en", args.to).text
        if voice and text:
            voice.generate(text, args.to).save(parts / f"{number + 1:06}.wav")
        print(json.dumps([number, " ".join(text.split())]), file=file, flush=True)
if len(result := done()) == len(texts):  # by whoever is last
    whole = parts / f"whole-{group.rank()}"
    whole.write_text("".join(f"{result[n]}\n" for n in range(len(texts))), encoding="utf-8")
    whole.replace(args.output)
