"""`Audio`: a stretch of mono sound in memory."""

from __future__ import annotations

import base64
import io
import threading
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OutputError
from .resample import resample
from .samples import AudioError, Samples, as_sample_rate, as_samples, rise, to_pcm16
from .wav import read_wav

if TYPE_CHECKING:
    from .output import Output

__all__ = ["Audio", "AudioError"]


@dataclass(frozen=True, eq=False, repr=False)
class Audio:
    """Mono sound: float32 samples within ±1 and their rate. `numpy.asarray(audio)` is its samples.

    Raises:
        AudioError: for samples that are not one-dimensional, real, floating point and finite.
    """

    samples: Samples
    """(n,) float32, read-only."""
    sample_rate: int
    """In Hz."""

    def __post_init__(self) -> None:
        samples = as_samples(self.samples).view()
        samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "sample_rate", as_sample_rate(self.sample_rate))

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sample_rate

    def __len__(self) -> int:
        return len(self.samples)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if copy:
            return np.array(self.samples, dtype)
        return np.asarray(self.samples, dtype)

    def __repr__(self) -> str:
        return f"Audio({self.seconds:.2f} s, {self.sample_rate} Hz)"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self._wav()).decode("ascii")
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'

    @classmethod
    def join(cls, parts: Iterable[Audio]) -> Audio:
        """One after the other, nothing between.

        Raises:
            AudioError: if there are no parts, or their rates differ.
        """
        parts = list(parts)
        rates = {part.sample_rate for part in parts}
        if not parts:
            raise AudioError("there is nothing to join")
        if len(rates) > 1:
            raise AudioError(
                f"cannot join sounds at {sorted(rates)} Hz; resample() them to one rate"
            )
        return cls(np.concatenate([part.samples for part in parts]), rates.pop())

    def fade(self, fade_in: float = 0.01, fade_out: float = 0.01) -> Audio:
        """Raise the first `fade_in` seconds from silence and lower the last `fade_out` to it.

        Raised cosine: 5 to 15 ms hide a cut without being heard. On a sound too short for both,
        each takes its share.

        Raises:
            AudioError: a length that is negative or no number.
        """
        if min(fade_in, fade_out) < 0:
            raise AudioError(f"a fade cannot last {min(fade_in, fade_out)} s")
        share = min(1.0, self.seconds / max(fade_in + fade_out, 1e-9))
        first, last = (round(s * share * self.sample_rate) for s in (fade_in, fade_out))
        last = min(last, len(self) - first)
        samples = self.samples.copy()
        samples[:first] *= rise(first)
        samples[len(samples) - last :] *= rise(last)[::-1]
        return Audio(samples, self.sample_rate)

    def trim_silence(
        self, threshold: float = 0.01, lead: float = 0.02, trail: float = 0.05
    ) -> Audio:
        """Shorten the silence at either end.

        Args:
            threshold: what stays within ± this counts as silence; 0.01 is 40 dB below full scale.
            lead: seconds to keep before the first louder sample, as far as there are.
            trail: seconds to keep after the last one.

        Returns:
            The sound between; of a sound without any louder sample, its first lead + trail seconds.
        """
        loud = np.flatnonzero(np.abs(self.samples) > threshold)
        before, after = round(lead * self.sample_rate), round(trail * self.sample_rate)
        if not loud.size:
            return Audio(self.samples[: before + after], self.sample_rate)
        begin = max(0, int(loud[0]) - before)
        return Audio(self.samples[begin : int(loud[-1]) + 1 + after], self.sample_rate)

    def resample(self, rate: int) -> Audio:
        """At another sample rate, by band-limited interpolation."""
        rate = as_sample_rate(rate)
        return Audio(resample(self.samples, self.sample_rate, rate), rate)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a file: 16-bit PCM for `.wav`, otherwise what `soundfile` makes of the suffix.

        Args:
            path: where to; an older file is replaced.

        Returns:
            The path.

        Raises:
            OutputError: if the file cannot be written or its format is unknown.
        """
        path = Path(path)
        try:
            if path.suffix.lower() == ".wav":
                path.write_bytes(self._wav())
            else:
                _soundfile(path).write(path, self.samples, self.sample_rate)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        except (RuntimeError, TypeError, ValueError) as error:
            raise OutputError(f"cannot write {path}: {error}; .wav always works") from error
        return path

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Audio:
        """Read a sound file, its channels averaged: WAV, and with `soundfile` other formats.

        Args:
            path: of the file.

        Raises:
            AudioError: if there is no such file or it holds no sound that can be read.
        """
        path = Path(path)
        if not path.is_file():
            raise AudioError(f"there is no sound file {path}")
        if found := read_wav(path):
            samples, channels, rate = found
        else:
            try:
                samples, rate = _soundfile(path).read(path, dtype="float32", always_2d=True)
            except (RuntimeError, OutputError) as error:
                raise AudioError(f"cannot read {path}: {error}") from error
            channels = samples.shape[1]
        samples = samples[: samples.size // channels * channels].reshape(-1, channels)
        return cls(samples[:, 0] if channels == 1 else samples.mean(axis=1), rate)

    def play(self, block: bool = True) -> Output | None:
        """Play on the default sound card.

        Args:
            block: return when the last sample has been heard. Otherwise return at once, with the
                output, whose `close()` stops the sound.

        Raises:
            OutputError: if there is no sound card.
        """
        from .speakers import Speakers

        output = Speakers(self.sample_rate, capacity=self.seconds + 1)
        if block:
            with output:
                output.write(self.samples)
            return None
        output.write(self.samples)
        threading.Thread(target=_play_out, args=(output,), daemon=True).start()
        return output

    def _wav(self) -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate)
            file.writeframes(to_pcm16(self.samples))
        return buffer.getvalue()


def _play_out(output: Output) -> None:
    try:
        output.drain()
    finally:
        output.close()


def _soundfile(path: Path) -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise OutputError(
            f"{path}: only .wav is built in; for {path.suffix or 'other'} files: "
            "pip install soundfile"
        ) from error
    return soundfile
