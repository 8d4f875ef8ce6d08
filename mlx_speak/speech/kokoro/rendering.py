"""One utterance rendered window by window, the first of them early."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from .model import Kokoro
from .statistics import SHORTEST, Statistics

_OVERLAP = 14
"""Frames that a window costs more than it yields: what the stages reach beyond it."""
_SHORTEST, _LONGEST = 24, 240
"""Frames of a window, 80 a second: 0.3 to 3 s."""
_LONGEST_FIRST = 48
"""Frames of the first window, however slow the machine: 0.6 s."""
_MARGIN = 0.85
"""Of the time that the sound made so far lasts, what the next window may take to render."""
_LEAD, _TRAIL = 9, 16
"""Frames rendered of the silent tokens before the first phoneme and after the last one. Speech was
found to begin 1 to 9 frames before the former end, in six speakers."""
_EDGE = 120
"""Samples that tell whether an edge is silent."""


class Window(NamedTuple):
    """A stretch of an utterance."""

    samples: np.ndarray
    """(samples,) float32."""
    is_last: bool


class Windows:
    """How long the windows should be on this machine, learned as they are rendered."""

    def __init__(self) -> None:
        self._per_frame = 0.4 / 80  # seconds, a guess

    def learn(self, frames: int, seconds: float) -> None:
        self._per_frame += 0.3 * (seconds / (frames + _OVERLAP) - self._per_frame)

    def first(self) -> int:
        """Frames that sound long enough for the next window to be longer, if that can be."""
        factor = 80 * self._per_frame  # seconds of work for a second of sound
        needed = factor * _OVERLAP / max(_MARGIN - factor, 0.1)
        return round(min(max(needed, _SHORTEST), _LONGEST_FIRST))

    def after(self, frames: int, ahead: float) -> int:
        """Frames that can be rendered while the sound made so far lasts.

        Args:
            frames: of the window before, than which no window is shorter.
            ahead: seconds of that sound.
        """
        affordable = _MARGIN * ahead / self._per_frame - _OVERLAP
        return round(min(max(affordable, frames), _LONGEST))


class Rendering:
    """The samples of an utterance, made in steps; what is made stays until it is taken.

    Args:
        model: the network.
        input_ids, style, speed, seed: as `Kokoro.__call__` takes them.
        statistics: of the speaker.
        windows: how long windows are.
        silence: what stays within ± this is silent.
        silent_tail: tokens at the end that are silent: the boundary, and punctuation.
    """

    def __init__(
        self,
        model: Kokoro,
        input_ids: mx.array,
        style: mx.array,
        speed: float,
        seed: int,
        statistics: Statistics,
        windows: Windows,
        silence: float,
        silent_tail: int = 1,
    ):
        self._silent_tail = silent_tail
        self._steps = self._run(model, input_ids, style, speed, seed)
        self._generator = model.decoder.generator
        self._timbre = mx.split(style, 2, axis=-1)[0]
        self._statistics, self._windows, self._silence = statistics, windows, silence
        self._made: list[Window] = []

    @property
    def begun(self) -> bool:
        """Whether there is sound to be taken."""
        return bool(self._made)

    def advance(self) -> bool:
        """Make one step; False if all are made."""
        made = next(self._steps, False)
        if made is False:
            return False
        if isinstance(made, Window):
            self._made.append(made)
        return True

    def take(self) -> Window | None:
        """What follows what was taken before, if it is made."""
        return self._made.pop(0) if self._made else None

    def _run(
        self, model: Kokoro, input_ids: mx.array, style: mx.array, speed: float, seed: int
    ) -> Iterator[Window | None]:
        contexts = model.contexts(input_ids)
        mx.eval(contexts)
        yield None
        features, durations = model.plan(contexts, style, speed)
        yield None
        x, source = model.decode(input_ids, features, durations, style, seed)
        mx.eval(x, source)
        yield None
        frames = x.shape[1]
        if frames < SHORTEST:
            yield Window(self._render(x, source, 0, frames), True)
            return
        begin = max(0, 2 * int(durations[0]) - _LEAD)
        silent = 2 * int(durations[-self._silent_tail :].sum())
        stop = max(min(frames, frames - silent + _TRAIL), begin + 1)
        at, count = begin, self._windows.first() + _LEAD
        first_made = None
        while at < stop:
            end = stop if stop - at < count + _SHORTEST else at + count
            samples = self._render(x, source, at, end)
            if at == begin > 0 and self._is_loud(samples[:_EDGE]):
                samples = np.concatenate([self._render(x, source, 0, begin), samples])
            if end == stop < frames and self._is_loud(samples[-_EDGE:]):
                samples = np.concatenate([samples, self._render(x, source, stop, frames)])
            now = time.perf_counter()
            first_made = first_made or now
            yield Window(samples, end == stop)
            # If the first window waited to be taken, what is ahead is more than this, and at least
            # the last window.
            seconds = (end - begin - _LEAD) / 80 - (now - first_made)
            count = self._windows.after(end - at, max(seconds, (end - max(at, begin + _LEAD)) / 80))
            at = end

    def _render(self, x: mx.array, source: mx.array, begin: int, end: int) -> np.ndarray:
        start = time.perf_counter()
        frames = x.shape[1]
        moments = self._statistics.at(frames) if frames >= SHORTEST else None
        samples = self._generator.render(x, source, self._timbre, moments, begin=begin, end=end)
        array = np.array(samples[0].astype(mx.float32))
        self._windows.learn(end - begin, time.perf_counter() - start)
        return array

    def _is_loud(self, samples: np.ndarray) -> bool:
        return bool(np.abs(samples).max(initial=0.0) > self._silence)
