"""What the commands tell while they work: lines and, on a terminal, a bar for each model."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class Reporter:
    """Is told what goes on; this one keeps silent."""

    def start(self, name: str, total: int) -> None:
        """A model, or a step of making one, is begun; it will take `total` bytes."""

    def step(self, name: str, what: str) -> None:
        """What is being done for it now."""

    def part(self, name: str) -> Callable[[int], None]:
        """A part is begun; the function is told, now and then, how many bytes of it are done."""
        return lambda done: None

    def done(self, name: str, how: str = "is ready") -> None:
        """It is finished."""

    def say(self, name: str, text: str) -> None:
        """Something the user should know."""


SILENT = Reporter()


class Display(Reporter):
    """Says it all on stderr."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, markup=False)
        self.bars = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[step]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Display:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def start(self, name: str, total: int) -> None:
        if name in self.tasks:
            self.bars.reset(self.tasks[name], total=total, step="")
        else:
            self.tasks[name] = self.bars.add_task(name, total=total, step="")

    def step(self, name: str, what: str) -> None:
        self.bars.update(self.tasks[name], step=what)
        if not self.console.is_terminal:
            self.say(name, what)

    def part(self, name: str) -> Callable[[int], None]:
        task = self.tasks[name]
        before = self.bars.tasks[task].completed
        return lambda done: self.bars.update(task, completed=before + done)

    def done(self, name: str, how: str = "is ready") -> None:
        task = self.tasks[name]
        self.bars.update(task, completed=self.bars.tasks[task].total)
        self.step(name, how)

    def say(self, name: str, text: str) -> None:
        self.console.print(f"{name}: {text}", soft_wrap=True)
