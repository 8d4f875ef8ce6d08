"""Speak a file, or what is piped in: claude -p … | python examples/pipe.py --to pt"""

import argparse
import sys

import mlx_speak as ms

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("file", nargs="?", help="text or a captured stream (default: standard input)")
parser.add_argument("--to", default="pt")
parser.add_argument("--output", default="speakers", help="or a .wav path")
args = parser.parse_args()

translator = None if args.to == "en" else ms.load_translator(ms.default_translator("en", args.to))
voice = ms.load_voice("kokoro")

with (
    open(args.file or sys.stdin.fileno(), "rb", buffering=0) as source,
    ms.Pipeline(translator, voice, source="en", target=args.to, output=args.output) as pipe,
):
    for utterance in pipe.run(ms.read_stream(source)):
        print(utterance.source, "→", utterance.text, utterance.error or "")
    print(pipe.stats())
