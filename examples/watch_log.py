"""A growing file read aloud, line by line: python examples/watch_log.py server.log ERROR"""

import argparse
import re
import time
from collections.abc import Iterator
from pathlib import Path

import mlx_speak as ms

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("file", type=Path)
parser.add_argument("pattern", nargs="?", default="", help="only lines in which this is found")
parser.add_argument("--language", default="en")
parser.add_argument("--voice", help="default: the best for the language")
parser.add_argument("--output", default="speakers")
parser.add_argument("--seconds", type=float, default=float("inf"), help="to watch")
args = parser.parse_args()


def lines() -> Iterator[ms.TextEvent]:
    """A message of its own for every new line that matters."""
    end = time.monotonic() + args.seconds
    with args.file.open(encoding="utf-8", errors="replace") as file:
        file.seek(0, 2)
        while time.monotonic() < end:
            if not (line := file.readline()):
                time.sleep(0.1)
            elif re.search(args.pattern, line):
                yield ms.TextEvent(line, "text", str(file.tell()))
                yield ms.TextEvent("", "end", str(file.tell()))


voice = ms.load_voice(args.voice or ms.default_voice(args.language))
late = ms.CatchUp(skip=30)  # when lines come faster than they can be said, the newest count
with ms.Pipeline(None, voice, args.language, output=args.output, catch_up=late) as pipe:
    pipe.warm_up()
    print("watching", flush=True)
    for utterance in pipe.run(lines()):
        print(f"[{utterance.state}] {utterance.source}", flush=True)
