"""What the command shows while it speaks: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .stats import milliseconds
from .text.clean import legible

if TYPE_CHECKING:
    from .pipeline import Pipeline
    from .utterance import Utterance


class Status:
    """Prints to stderr, leaving stdout alone. Text from the stream is never read as markup, and
    neither it nor what models and errors make of it can command the terminal.

    Args:
        file: stderr, if not this process's own.
        environment: of the terminal that it is; of this process, if not given.
    """

    def __init__(
        self,
        quiet: bool = False,
        file: IO[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        self._quiet = quiet
        self._console = Console(
            file=file or sys.stderr,
            highlight=False,
            markup=False,
            soft_wrap=True,
            _environ=environment,
        )
        self._pipe: Pipeline | None = None
        self._hint = ""
        self._live = Live(
            get_renderable=self._line,
            console=self._console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Status:
        if self._console.is_terminal and not self._quiet:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def follow(self, pipe: Pipeline, hint: str = "") -> None:
        """Show this pipeline's doings in the live line, and after them what can be done."""
        self._pipe, self._hint = pipe, hint

    def note(self, message: str) -> None:
        if not self._quiet:
            self._console.print(Text(legible(message), style="dim"))

    def error(self, message: str) -> None:
        self._console.print(Text(legible(f"mlx-speak: {message}"), style="red"))

    def show(self, utterance: Utterance) -> None:
        """One sentence that is over: what was read, what was said, and how long each part took."""
        if utterance.error is not None:
            self.error(f"sentence {utterance.index + 1} ({utterance.source!r}): {utterance.error}")
        if self._quiet:
            return
        if utterance.warning:
            self._console.print(Text(legible(f"    {utterance.warning}"), style="yellow"))
        line = Text(f"{utterance.index + 1:3} ", style="dim")
        line.append(legible(utterance.source), style="default")
        if utterance.text and utterance.text != utterance.source:
            line.append("\n    " + legible(utterance.text), style="bold cyan")
        translated = utterance.text != utterance.source
        usual = self._pipe.voice.name if self._pipe else None
        others = [name for name in utterance.voices if name != usual]
        line.append(
            "\n    "
            + (
                f"translated in {milliseconds(utterance.translate_seconds)} · "
                if translated
                else ""
            )
            + f"{utterance.audio_seconds:.1f} s of speech made in"
            f" {milliseconds(utterance.speak_seconds)}"
            f" · heard after {milliseconds(utterance.times.latency)}"
            + (f" · {utterance.state}" if utterance.state != "heard" else "")
            + (f" · {' and '.join(others)} spoke" if others else ""),
            style="dim",
        )
        self._console.print(line)

    def _line(self) -> Text:
        if self._pipe is None:
            return Text("…", style="dim")
        current, stats = self._pipe.current, self._pipe.stats()
        line = Text("♪ ", style="green")
        line.append(legible(str(current)) if current else "listening")
        backlog = max(self._pipe.backlog - 1, 0)
        latency = stats.percentile(stats.latencies, 50)
        line.append(
            f"  [{backlog} waiting"
            + (f", first sound {milliseconds(latency)}" if latency is not None else "")
            + (f", {stats.underruns} underruns" if stats.underruns else "")
            + (f", {stats.behind:.0f} s behind: {stats.rung}" if stats.rung else "")
            + (f", speed {self._pipe.speed:g}" if self._pipe.speed != 1 else "")
            + (", paused" if self._pipe.paused else "")
            + "]"
            + (f"  {self._hint}" if self._hint else ""),
            style="dim",
        )
        line.truncate(max(self._console.width, 20), overflow="ellipsis")
        return line
