"""Speech and its subtitles: python examples/subtitles.py text.md speech.wav speech.srt --to pt"""

import argparse
import textwrap
from pathlib import Path

import mlx_speak as ms

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("file", type=Path)
parser.add_argument("speech", type=Path, help="a .wav to write")
parser.add_argument("subtitles", type=Path, help="an .srt or .vtt to write")
parser.add_argument("--from", dest="source", default="en")
parser.add_argument("--to", default="pt")
parser.add_argument("--voice", help="default: the best for the language")
args = parser.parse_args()
vtt = args.subtitles.suffix == ".vtt"


def stamp(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours:02}:{minutes:02}:{milliseconds / 1000:06.3f}"
    return text if vtt else text.replace(".", ",")


translator = ms.load_translator(ms.default_translator(args.source, args.to))
voice = ms.load_voice(args.voice or ms.default_voice(args.to))
now, cues = 0.0, ["WEBVTT\n"] if vtt else []
with ms.Pipeline(translator, voice, args.source, args.to, output=args.speech) as pipe:
    for utterance in pipe.run(ms.read_stream(args.file.read_bytes(), "text")):
        lines = textwrap.wrap(utterance.text, 42, break_on_hyphens=False)
        parts = ["\n".join(lines[first : first + 2]) for first in range(0, len(lines), 2)]
        for text in parts:  # shown as long as it takes to say
            end = now + utterance.audio_seconds * len(text) / len("".join(parts))
            cues.append(f"{len(cues) + 1 - vtt}\n{stamp(now)} --> {stamp(end)}\n{text}\n")
            now = end
args.subtitles.write_text("\n".join(cues), encoding="utf-8")
