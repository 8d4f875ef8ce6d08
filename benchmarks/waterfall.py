"""The picture of README: an answer written at an assistant's pace, translated and heard.

    python benchmarks/waterfall.py [docs/waterfall.png] [--rate 60]

Bergamot and Kokoro, from packages; the listener is a clock.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_engines import typed
from texts import written

import mlx_speak as ms

TEXT = (
    "I found the reason. The test writes to a folder that does not exist on a fresh machine, so it "
    "fails there and passes here. I will create the folder first. Then I will run everything once "
    "more, and tell you what I see."
)
PICTURE = Path(__file__).parents[1] / "docs" / "waterfall.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path, nargs="?", default=PICTURE)
    parser.add_argument("--rate", type=float, default=60, help="tokens written a second")
    options = parser.parse_args()
    translator, voice = ms.load_translator("bergamot-en-pt"), ms.load_voice("kokoro")
    with ms.Pipeline(translator, voice, "en", "pt", output="silent", early="eager") as pipe:
        pipe.warm_up()
        for utterance in pipe.run(typed(written(TEXT, options.rate, seed=0))):
            print(f"{utterance.times.latency:.2f} s  {utterance.source} → {utterance.text}")
        pipe.stats().waterfall(options.picture)
        print(pipe.stats())


if __name__ == "__main__":
    main()
