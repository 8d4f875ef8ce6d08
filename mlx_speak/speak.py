"""One text spoken for the command, with the models that were loaded before where they fit."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx_speak as ms

from .status import Status

if TYPE_CHECKING:
    from .pipeline import Pipeline
    from .protocols import Speaks
    from .speech import Voice
    from .translation import Translator


class Models:
    """The translators and voices that were asked for so far, loaded and warm."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[object, ...], Any] = {}
        self._warm: set[tuple[object, ...]] = set()
        self._system: Any = _Late(lambda: self._voice("say"))

    def translator(self, arguments: argparse.Namespace) -> Translator | None:
        """That of the arguments; None where the text is spoken as it is."""
        source, target, bits = arguments.source, arguments.to, arguments.bits
        if not arguments.translator and source.flores == target.flores:
            return None
        name = arguments.translator or ms.default_translator(source, target)
        return self._load(("translator", _whole(name), bits), ms.load_translator, name, bits)

    def voice(self, arguments: argparse.Namespace) -> Voice:
        return self._voice(_voice_name(arguments), arguments.bits)

    def fallback(self, arguments: argparse.Namespace) -> Speaks | None:
        """The system's voice, if it is wanted and is not the one to stand in for."""
        if arguments.no_fallback or _voice_name(arguments) == "say":
            return None
        return self._system

    def warm_up(self, pipe: Pipeline) -> None:
        """Once for each way that a text can go."""
        way = (id(pipe.translator), id(pipe.voice), pipe.source, pipe.target, pipe.speaker)
        if way not in self._warm:
            pipe.warm_up()
            self._warm.add(way)

    def _voice(self, name: str, bits: int | None = None) -> Voice:
        bits = None if name == "say" else bits  # nothing of it can be quantised
        return self._load(("voice", _whole(name), bits), ms.load_voice, name, bits)

    def _load(self, key: tuple[object, ...], load: Callable[..., Any], *arguments: object) -> Any:
        if key not in self._loaded:
            self._loaded[key] = load(*arguments)
        return self._loaded[key]


class _Late:
    """A voice that is loaded when something is first asked of it."""

    def __init__(self, load: Callable[[], Voice]):
        self._load = load
        self._voice: Voice | None = None

    def __getattr__(self, name: str) -> Any:
        self._voice = self._voice or self._load()
        return getattr(self._voice, name)


def _voice_name(arguments: argparse.Namespace) -> str:
    return arguments.voice or ms.default_voice(arguments.to)


def _whole(name: str | Path) -> str:
    """A name that means the same in every folder."""
    return str(Path(name).resolve()) if Path(name).exists() else str(name)


def speak(
    arguments: argparse.Namespace,
    stream: Any,
    status: Status,
    models: Models,
    ready: Callable[[Pipeline], str],
) -> int:
    """Speak a stream from its beginning to its end.

    Args:
        arguments: of the command, parsed.
        stream: what `read_stream` takes.
        ready: called with the pipeline before the stream is read; returns a hint to be shown.

    Returns:
        The command's exit status: 1 if a sentence failed.

    Raises:
        SpeakError: a language, model, speaker or output that there is not.
    """
    failed = 0
    arguments.source = ms.Language.parse(arguments.source)
    arguments.to = ms.Language.parse(arguments.to)
    catch_up = ms.CatchUp.off() if arguments.no_catch_up else ms.CatchUp(skip=arguments.max_lag)
    status.note("loading the models")
    with ms.Pipeline(
        models.translator(arguments),
        models.voice(arguments),
        source=arguments.source,
        target=arguments.to,
        output=arguments.output or "speakers",
        speaker=arguments.speaker,
        fallback=models.fallback(arguments),
        speed=arguments.speed,
        early=arguments.early,
        catch_up=catch_up,
        cut_turns=arguments.cut_turns,
    ) as pipe:
        models.warm_up(pipe)
        status.follow(pipe, ready(pipe))
        for utterance in pipe.run(ms.read_stream(stream, format=arguments.format)):
            status.show(utterance)
            failed += utterance.error is not None
    status.note(str(pipe.stats()))
    return 1 if failed else 0


def chunks(stream: Any, over: Callable[[], bool], tick: float = 0.1) -> Iterable[bytes]:
    """The bytes of an unbuffered file as they come, until it ends or `over()`; closes it."""
    import select

    with stream:
        while not over():
            if select.select([stream], [], [], tick)[0]:
                data = stream.read(1 << 16)
                if not data:
                    return
                yield data
