"""One sound to several outputs, such as the sound card and a file."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from ..errors import OutputError
from .audio import Audio
from .output import Output, OutputStats


class CopyError(OutputError):
    """What was written is heard, but another output lacks it.

    Attributes:
        span: what `Output.write` would have returned.
    """

    def __init__(self, message: str, span: tuple[int, int]):
        super().__init__(message)
        self.span = span


class Tee(Output):
    """Writes to every output; the first is the one listened to, and tells the time.

    What `clear` withdraws from the first may already stand in the others.
    """

    def __init__(self, outputs: Sequence[Output]):
        super().__init__(outputs[0].sample_rate)
        self._first = outputs[0]
        self._outputs = list(outputs)
        self.paced = self._first.paced

    def write(self, samples: ArrayLike | Audio, *, more: bool = False) -> tuple[int, int]:
        # The others first: they do not wait, and the first one's wait is the pace of all.
        failure: OutputError | None = None
        for output in self._outputs[1:]:
            try:
                output.write(samples, more=more)
            except OutputError as error:
                failure = error
        span = self._first.write(samples, more=more)  # is heard, whatever became of the files
        if failure is not None:
            raise CopyError(str(failure), span) from failure
        return span

    def heard_at(self, frame: int) -> float | None:
        return self._first.heard_at(frame)

    def wait(self, frame: int, timeout: float | None = None) -> bool:
        return self._first.wait(frame, timeout)

    @property
    def buffered(self) -> float:
        return self._first.buffered

    def clear(self) -> None:
        for output in self._outputs:
            output.clear()

    def pause(self) -> None:
        for output in self._outputs:
            output.pause()

    def resume(self) -> None:
        for output in self._outputs:
            output.resume()

    def drain(self, timeout: float | None = None) -> bool:
        drained = [output.drain(timeout) for output in self._outputs]
        return all(drained)

    def close(self) -> None:
        for output in self._outputs:
            output.close()

    @property
    def stats(self) -> OutputStats:
        return self._first.stats
