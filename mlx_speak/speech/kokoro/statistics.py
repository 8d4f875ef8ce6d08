"""What the generator's norms see of a speaker, so that it can render an utterance in windows.

AdaIN normalises each channel by its mean and variance over the whole utterance, which is not there
yet when its first window is rendered. They can be foretold: for one speaker they depend mostly on
how long the utterance is, since the silence at its ends counts, and Kokoro's styles change with the
length. So mean and log-variance of every channel are fitted to seven utterances of 1.3 to 4 s, as
straight lines over 1 / length.

On Kokoro-82M the log-mel spectra then correlate with those of the whole model to 0.985–0.999 from
1.4 s on, and the loudness is within 1.8 dB: about what its int8 weights are from fp32 (0.992).
A window's own statistics give 0.965–0.989 and another loudness in every window, the average of
other utterances 0.92–0.99 for what is shorter than 2.5 s. `tests/speech/test_windows.py` holds it
to that.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np

from ...home import home
from ...nn.norm import Moments, own_moments
from .model import Kokoro

_SENTENCES: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("calibration.json").read_text(encoding="utf-8")
)
"""Phonemes that a speaker is listened to with: sentences and phrases in every language."""

SHORTEST = 110
"""Frames of an utterance, 80 a second, below which nothing is foretold."""

_BEYOND = 0.5
"""How far a log-variance may be beyond those that were fitted."""


class Statistics:
    """Mean and variance of every norm of a generator, by the length of the utterance.

    Args:
        lines: for every norm in the order of the network two arrays (2, channels), of the mean and
            of the log-variance: what they are at 1 / length = 0, and how they grow with 1 / length.
        bounds: for every norm the least and the greatest log-variance, (2, channels).
    """

    def __init__(
        self, lines: Sequence[tuple[np.ndarray, np.ndarray]], bounds: Sequence[np.ndarray]
    ):
        self._lines, self._bounds = list(lines), list(bounds)

    def at(self, frames: int) -> Moments:
        """The moments of an utterance of so many frames, for one run of the generator."""
        at = np.array([1.0, 1.0 / frames])

        def foretold() -> Iterator[tuple[mx.array, mx.array]]:
            for (mean, log_variance), (least, most) in zip(self._lines, self._bounds, strict=True):
                variance = np.exp(np.clip(at @ log_variance, least, most))
                yield (
                    mx.array((at @ mean)[None, None], mx.float32),
                    mx.array(variance[None, None], mx.float32),
                )

        moments = foretold()
        return lambda x: next(moments)

    @classmethod
    def fitted(
        cls, frames: Sequence[int], runs: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]]
    ) -> Statistics:
        """The lines nearest to utterances of several lengths, longer ones counting for more.

        Args:
            frames: of each utterance.
            runs: mean and variance, each (channels,), of every norm, for each utterance.
        """
        weights = np.sqrt(np.array(frames, float))
        places = np.stack([np.ones(len(frames)), 1 / np.array(frames, float)], axis=1)
        solve = np.linalg.pinv(places * weights[:, None]) * weights
        lines, bounds = [], []
        for norm in zip(*runs, strict=True):
            means = np.stack([mean for mean, _ in norm])
            logs = np.log(np.stack([variance for _, variance in norm]) + 1e-8)
            lines.append((solve @ means, solve @ logs))
            bounds.append(np.stack([logs.min(axis=0) - _BEYOND, logs.max(axis=0) + _BEYOND]))
        return cls(lines, bounds)

    def save(self, path: Path) -> None:
        arrays: dict[str, mx.array] = {}
        for index, ((mean, variance), bound) in enumerate(
            zip(self._lines, self._bounds, strict=True)
        ):
            for name, array in (("mean", mean), ("variance", variance), ("bounds", bound)):
                arrays[f"{index}.{name}"] = mx.array(array.astype(np.float32))
        partial = path.with_name(f".{os.getpid()}-{path.name}")
        mx.save_safetensors(str(partial), arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, channels: Sequence[int]) -> Statistics | None:
        """Those of a file; None if there is none, or it is of another network."""
        try:
            stored = mx.load(str(path))
            assert isinstance(stored, dict)
            arrays = {name: np.array(array, np.float64) for name, array in stored.items()}
            norms = [
                [arrays[f"{index}.{name}"] for name in ("mean", "variance", "bounds")]
                for index in range(len(channels))
            ]
        except (OSError, RuntimeError, ValueError, KeyError):
            return None
        shapes = [array.shape for norm in norms for array in norm]
        if shapes != [(2, count) for count in channels for _ in range(3)]:
            return None
        return cls([(mean, variance) for mean, variance, _ in norms], [n[2] for n in norms])


def calibrate(model: Kokoro, style: Callable[[int], mx.array], language: str) -> Statistics:
    """The statistics of a speaker; computed once, then kept in the cache of mlx_speak.

    Args:
        model: the network.
        style: of the speaker, for an utterance of so many phonemes.
        language: ISO 639 code of what the speaker is listened to with.
    """
    vocab, generator = model.config.vocab, model.decoder.generator
    texts = _SENTENCES.get(language, _SENTENCES["en"])
    known = [[vocab[phoneme] for phoneme in text if phoneme in vocab] for text in texts]
    styles = [style(len(ids)) for ids in known]
    marks = hashlib.sha256(repr(texts).encode())
    for array in (generator.conv_post.weight, *styles):
        marks.update(np.array(array.astype(mx.float32)).tobytes())
    path = home("kokoro") / f"{marks.hexdigest()[:32]}.safetensors"
    kept = Statistics.load(path, generator.norm_channels)
    if kept is not None:
        return kept
    frames, runs = [], []
    for ids, speaker in zip(known, styles, strict=True):
        run: list[tuple[np.ndarray, np.ndarray]] = []

        def record(
            x: mx.array, run: list[tuple[np.ndarray, np.ndarray]] = run
        ) -> tuple[mx.array, mx.array]:
            mean, variance = own_moments(x)
            run.append((np.array(mean).ravel(), np.array(variance).ravel()))
            return mean, variance

        input_ids = mx.array([[0, *ids, 0]])
        features, durations = model.plan(model.contexts(input_ids), speaker)
        x, source = model.decode(input_ids, features, durations, speaker)
        mx.eval(generator.render(x, source, mx.split(speaker, 2, axis=-1)[0], record))
        frames.append(x.shape[1])
        runs.append(run)
    statistics = Statistics.fitted(frames, runs)
    statistics.save(path)
    return statistics
