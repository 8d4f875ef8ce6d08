"""The `mlx-speak` command: standard input to ears.

claude -p "…" --output-format stream-json --verbose | mlx-speak --to pt
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import __version__
from .errors import SpeakError

if TYPE_CHECKING:
    from .pipeline import Pipeline

_KEEP = 30.0  # minutes


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mlx-speak",
        description="Speak a stream of text from standard input, translated as it arrives.",
        epilog="""example: claude -p "Explain this repository" --output-format stream-json """
        """--verbose --include-partial-messages | mlx-speak --to pt""",
    )
    parser.add_argument("--to", required=True, metavar="LANGUAGE", help="language to speak: pt, ja")
    parser.add_argument(
        "--from", dest="source", default="en", metavar="LANGUAGE", help="of the text (default: en)"
    )
    parser.add_argument(
        "--voice",
        help="alias, hub id or folder, or the system's: say (default: kokoro, or say in languages"
        " it lacks)",
    )
    parser.add_argument("--speaker", help="one of the voice's speakers, such as pf_dora")
    parser.add_argument("--speed", type=float, default=1.0, help="of speech (default: 1.0)")
    parser.add_argument(
        "--translator", help="alias, hub id or folder (default: chosen by the two languages)"
    )
    parser.add_argument(
        "--bits",
        type=int,
        choices=(8, 4),
        help="quantise translator and voice (default: as they are)",
    )
    parser.add_argument(
        "--format",
        default="auto",
        choices=["auto", "claude", "codex", "gemini", "openai", "text"],
        help="of the input (default: auto)",
    )
    parser.add_argument(
        "--output",
        action="append",
        metavar="speakers|silent|null|FILE.wav",
        help="where the sound goes (default: speakers); may be given twice",
    )
    early = parser.add_mutually_exclusive_group()
    for level, text in (
        ("eager", "work ahead on every word of an unfinished sentence: soonest, and warmest"),
        ("economy", "work ahead only on what seems a whole sentence: spares a battery"),
    ):
        early.add_argument(f"--{level}", dest="early", action="store_const", const=level, help=text)
    parser.set_defaults(early="balanced")
    lag = parser.add_mutually_exclusive_group()
    lag.add_argument(
        "--max-lag",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="when speech is so far behind the text, leave out what has waited longest, and say so"
        " (default: leave out nothing)",
    )
    lag.add_argument(
        "--no-catch-up",
        action="store_true",
        help="do not join short sentences or speak faster when speech falls behind the text",
    )
    parser.add_argument(
        "--no-fallback",
        action="store_true",
        help="do not let the system's voice speak where the other does not know the language, or "
        "fails",
    )
    parser.add_argument(
        "--cut-turns",
        action="store_true",
        help="when the next question is being answered, say no more of the answer before",
    )
    parser.add_argument(
        "--keep",
        type=float,
        nargs="?",
        const=_KEEP,
        metavar="MINUTES",
        help="speak through a process that stays warm for the next text until none has come for so"
        f" long (default: {_KEEP:g}); it is started if there is none",
    )
    parser.add_argument(
        "--stop-keeping", action="store_true", help="end the warm process (given alone)"
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--version", action="version", version=f"mlx-speak {__version__}")
    arguments = parser.parse_args(argv)
    if arguments.stop_keeping:
        parser.error("--stop-keeping is given alone")
    if arguments.keep is not None and not 0 < arguments.keep < 1e6:
        parser.error(f"--keep {arguments.keep:g}: give the minutes, such as --keep 30")
    if arguments.max_lag <= 0:
        parser.error(f"--max-lag {arguments.max_lag:g}: give the seconds, such as --max-lag 60")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv == ["--stop-keeping"]:
        from .keep.client import stop_keeping

        return stop_keeping()
    arguments = parse_arguments(argv)
    if arguments.keep is not None:
        from .keep.client import speak_kept

        code = speak_kept(argv, arguments.keep, arguments.quiet)
        if code is not None:
            return code

    from .keys import HINT, Keys, press
    from .speak import Models, speak
    from .status import Status

    # Unbuffered, so that text is seen as it arrives and no lock is held at exit.
    with (
        Status(arguments.quiet) as status,
        open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stream,
        contextlib.ExitStack() as stack,
    ):

        def ready(pipe: Pipeline) -> str:
            keys = stack.enter_context(Keys(lambda key: press(pipe, key)))
            return HINT if keys.active else ""

        try:
            return speak(arguments, stream, status, Models(), ready)
        except SpeakError as error:
            status.error(str(error))
            return 2


def command() -> None:
    """The console script: `main`, and an exit that waits neither for stdin nor for a model."""
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
