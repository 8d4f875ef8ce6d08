"""Where speech goes: the interface of every output, and `open_output` to choose one."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from ..errors import OutputError
from .audio import Audio
from .samples import AudioError, Samples, as_sample_rate, as_samples
from .timeline import Timeline

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class OutputStats:
    """What has passed through an output so far."""

    frames: int
    """Taken by `write`."""
    played: int
    """Handed to the sound card, the file, or nobody."""
    cleared: int = 0
    """Taken, and withdrawn by `clear` before they were played."""
    underruns: int = 0
    """Times that speech broke off because the next part of it had not been written yet."""
    underflows: int = 0
    """Times that the sound card was served too late, whether there was speech or not."""
    reopened: int = 0
    """Times that the sound card was lost and found again."""


class Output(ABC):
    """Takes samples and says when they are heard.

    A frame is one sample; positions count the frames written since the output was opened. One
    thread at a time writes; every other method may be called from any thread. Leaving a `with`
    block waits for the sound to end, unless an exception ends it.

    Args:
        sample_rate: of the samples it takes, in Hz.
    """

    def __init__(self, sample_rate: int = 24000):
        self._sample_rate = as_sample_rate(sample_rate)

    paced = False
    """Whether it takes as long as its sound does: somebody may be listening."""

    @property
    def sample_rate(self) -> int:
        """Of the samples it takes, in Hz."""
        return self._sample_rate

    @abstractmethod
    def write(self, samples: ArrayLike | Audio, *, more: bool = False) -> tuple[int, int]:
        """Append samples; blocks while the output holds all it can.

        Args:
            samples: (n,) floating point within ±1, at `sample_rate`.
            more: the speech goes on with the next write. If that comes too late, it is counted as
                an underrun. An empty write ends speech whose last part was written with `more`.

        Returns:
            The positions of the first frame and of the one after the last. If `clear` or `close`
            interrupts a write that blocks, the end is where it stopped.

        Raises:
            AudioError: for samples that are no sound, or an `Audio` at another rate.
            OutputError: if the output is closed, or has failed for good.
        """

    @abstractmethod
    def heard_at(self, frame: int) -> float | None:
        """When a frame is heard, on the clock of `time.monotonic`.

        None if that is not known yet, or the frame was cleared. A time slightly ahead means that
        the frame is on its way through the sound card. Speech from `start` to `end` ends one frame
        after `heard_at(end - 1)`: at `end`, a pause may come first.
        """

    @abstractmethod
    def wait(self, frame: int, timeout: float | None = None) -> bool:
        """Wait until all frames before `frame` have been heard.

        Returns:
            False if that has not come by `timeout` seconds, or cannot: the frames just before were
            cleared, or the output was closed.
        """

    @property
    @abstractmethod
    def buffered(self) -> float:
        """Seconds of sound yet to be handed to the sound card."""

    @abstractmethod
    def clear(self) -> None:
        """Withdraw what has not been heard, softly and at once, and release a write that blocks."""

    @abstractmethod
    def pause(self) -> None:
        """Fall silent and keep the rest. Outputs without a listener have nothing to pause."""

    @abstractmethod
    def resume(self) -> None:
        """Go on where `pause` stopped."""

    @abstractmethod
    def drain(self, timeout: float | None = None) -> bool:
        """Wait until everything written so far has been heard; False after `timeout` seconds."""

    @abstractmethod
    def close(self) -> None:
        """Stop at once and release the device or file. Closing again does nothing."""

    @property
    @abstractmethod
    def stats(self) -> OutputStats:
        """Counts since the output was opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.drain()
        finally:
            self.close()

    def _take(self, samples: ArrayLike | Audio) -> Samples:
        """The samples of one write, checked."""
        if isinstance(samples, Audio):
            if samples.sample_rate != self.sample_rate:
                raise AudioError(
                    f"the output takes {self.sample_rate} Hz, this has {samples.sample_rate}; "
                    f"audio.resample({self.sample_rate}) converts it"
                )
            return samples.samples
        return as_samples(samples)


class ImmediateOutput(Output):
    """An output without a clock: what is written counts as heard at that moment."""

    def __init__(self, sample_rate: int = 24000):
        super().__init__(sample_rate)
        self._timeline = Timeline(float("inf"))
        self._lock = threading.Lock()
        self._frames = 0
        self._closed = False

    def _store(self, samples: Samples) -> None:
        """Do with the samples what the output is for, called with the lock held."""

    def write(self, samples: ArrayLike | Audio, *, more: bool = False) -> tuple[int, int]:
        samples = self._take(samples)
        with self._lock:
            if self._closed:
                raise OutputError("the output is closed")
            start = self._frames
            if len(samples):
                self._store(samples)
                self._timeline.mark(start, len(samples), time.monotonic())
                self._frames += len(samples)
            return start, self._frames

    def heard_at(self, frame: int) -> float | None:
        return self._timeline.at(frame)

    def wait(self, frame: int, timeout: float | None = None) -> bool:
        return frame <= self._frames

    @property
    def buffered(self) -> float:
        return 0.0

    def clear(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def drain(self, timeout: float | None = None) -> bool:
        return True

    def close(self) -> None:
        with self._lock:
            self._closed = True

    @property
    def stats(self) -> OutputStats:
        return OutputStats(frames=self._frames, played=self._frames)


class NullOutput(ImmediateOutput):
    """Discards what is written, as fast as it comes, and counts it."""


OutputSpec = str | PathLike[str] | Output | list[str]
"""What `open_output` takes."""


def open_output(spec: OutputSpec, sample_rate: int = 24000, **options: Any) -> Output:
    """Open what `spec` names.

    Args:
        spec: "speakers", the sound card; a path that ends in ".wav"; "null", which discards;
            "silent", which discards at the pace of a sound card; an output, which is returned; or
            a list of names, which all get the sound, the first one being listened to.
        sample_rate: of the samples it will take, in Hz.
        options: further arguments of `Speakers` or `SilentOutput`.

    Raises:
        OutputError: if it cannot be opened, or `spec` names nothing known.
    """
    if isinstance(spec, Output):
        if spec.sample_rate != sample_rate:
            raise OutputError(
                f"the output takes {spec.sample_rate} Hz, but {sample_rate} was asked for"
            )
        return spec
    if isinstance(spec, list) and spec:
        from .tee import Tee

        opened: list[Output] = []
        try:
            opened.extend(open_output(name, sample_rate) for name in spec)
        except OutputError:
            for output in opened:
                output.close()
            raise
        return Tee(opened)
    if spec == "speakers":
        from .speakers import Speakers

        return Speakers(sample_rate, **options)
    if spec == "silent":
        from .realtime import SilentOutput

        return SilentOutput(sample_rate, **options)
    if spec == "null":
        return NullOutput(sample_rate, **options)
    if isinstance(spec, (str, PathLike)) and Path(spec).suffix.lower() == ".wav":
        from .files import WavOutput

        return WavOutput(spec, sample_rate, **options)
    raise OutputError(
        f"unknown output {spec!r}: use 'speakers', 'null', 'silent' or a path ending in .wav"
    )
