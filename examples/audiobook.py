"""A text to an audiobook, a WAV per chapter: python examples/audiobook.py book.md folder --to pt"""

import argparse
import re
from pathlib import Path

from rich.progress import Progress

import mlx_speak as ms

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("file", type=Path, help="text or Markdown, whose # headings begin chapters")
parser.add_argument("folder", type=Path)
parser.add_argument("--from", dest="source", default="en")
parser.add_argument("--to", default="en")
parser.add_argument("--voice", help="default: the best for the language")
args = parser.parse_args()

same = args.source == args.to
translator = None if same else ms.load_translator(ms.default_translator(args.source, args.to))
voice = ms.load_voice(args.voice or ms.default_voice(args.to))
chapters = [c for c in re.split(r"(?m)^(?=##? )", args.file.read_text("utf-8")) if c.strip()]
args.folder.mkdir(parents=True, exist_ok=True)

with Progress() as progress:
    bar, done = progress.add_task("", total=sum(map(len, chapters))), 0
    for number, chapter in enumerate(chapters, 1):
        title = re.sub(r"[^\w -]", "", chapter.strip().splitlines()[0])[:50].strip()
        progress.update(bar, description=title)
        path = args.folder / f"{number:02} {title}.wav"
        with ms.Pipeline(translator, voice, args.source, args.to, output=path) as pipe:
            for utterance in pipe.run(ms.read_stream(chapter, "text")):
                progress.advance(bar, len(utterance.source))
        done += len(chapter)
        progress.update(bar, completed=done)
        progress.console.print(path, pipe.stats())
