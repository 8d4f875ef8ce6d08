"""The sound card, through one PortAudio stream that stays open for the whole session."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import OutputError
from .output import OutputStats
from .realtime import RealTimeOutput
from .resample import Resampler

_WAY_OUT = "output='speech.wav' writes a file instead, output='null' discards the sound"
_LATENCY = 0.05
"""Seconds of sound in the card's own buffer: bridges late callbacks, delays `clear` by as much."""
_STALLED = 1.0
"""Seconds without a callback after which the card counts as lost."""
_REOPEN_FOR = 5.0
_REOPEN_EVERY = 0.25
"""Seconds to look for a lost card, and between attempts."""
_CLOSE_WITHIN = 2.0
"""Seconds for PortAudio to close a stream, which takes it forever once a JACK server has died."""
_LARGEST_BLOCK = 8192
"""Frames that are read from the ring at a time; a card that asks for more gets several."""


class Speakers(RealTimeOutput):
    """Plays on a sound card. The stream plays silence when there is no speech, and never stops.

    A card that does not take `sample_rate` is opened at its own rate and the sound is resampled. A
    card that is lost is looked for again, the default device anew, by whichever thread next writes
    or waits; what has not been played is kept.

    Args:
        sample_rate: in Hz.
        device: PortAudio's device index or part of a device name; None is the default device.
        latency: seconds of the card's own buffer.
        capacity: seconds of speech held before `write` blocks.

    Raises:
        OutputError: if there is no PortAudio or no sound card that can be opened.
    """

    def __init__(
        self,
        sample_rate: int = 24000,
        *,
        device: int | str | None = None,
        latency: float = _LATENCY,
        capacity: float = 10.0,
    ):
        super().__init__(sample_rate, capacity=capacity)
        self._portaudio = _portaudio()
        self._device = device
        self._latency = latency
        self._block = np.zeros(_LARGEST_BLOCK, np.float32)
        self._opening = threading.Lock()
        self._stream: Any = None
        self._stuck = False
        self._resampler: Resampler | None = None
        self._ended = threading.Event()
        self._called = 0.0
        self._underflows = 0
        self._reopened = 0
        self._open()

    @property
    def stats(self) -> OutputStats:
        return replace(super().stats, underflows=self._underflows, reopened=self._reopened)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.clear()
        # So that the last word ends softly, the callback comes round once more.
        if self._is_playing():
            time.sleep(min(0.1, 0.01 + self._latency))
        with self._opening:
            self._close_stream()

    def _open(self) -> None:
        """Open and start a stream at our rate, else at the device's own.

        Raises:
            OutputError: if neither works.
        """
        try:
            info = self._portaudio.query_devices(self._device, "output")
        except (self._portaudio.PortAudioError, ValueError) as error:
            raise OutputError(f"no sound card ({error}); {_WAY_OUT}") from error
        own_rate = round(info["default_samplerate"])
        failure: Exception | None = None
        for rate in dict.fromkeys((self.sample_rate, own_rate)):
            resampler = None if rate == self.sample_rate else Resampler(self.sample_rate, rate)
            try:
                self._start(rate, info["max_output_channels"], resampler)
                return
            except self._portaudio.PortAudioError as error:
                failure = error
        raise OutputError(f"cannot open {info['name']!r} ({failure}); {_WAY_OUT}") from failure

    def _start(self, rate: int, channels: int, resampler: Resampler | None) -> None:
        # On both sides where there are two: some host APIs send a mono stream to the left only.
        channels = min(2, channels)
        ended = threading.Event()
        stream = self._portaudio.RawOutputStream(
            samplerate=rate,
            device=self._device,
            channels=channels,
            dtype="float32",
            latency=self._latency,
            callback=lambda *arguments: self._callback(channels, rate, *arguments),
            finished_callback=ended.set,
        )
        self._stream, self._resampler, self._ended = stream, resampler, ended
        self._called = time.monotonic()
        try:
            stream.start()
        except self._portaudio.PortAudioError:
            stream.close(ignore_errors=True)
            raise

    def _callback(self, channels: int, rate: int, data: Any, frames: int, times: Any, status: Any):
        """Fill the card's buffer: runs on PortAudio's thread, takes no lock, waits for nothing."""
        self._called = time.monotonic()
        self._underflows += bool(status.output_underflow)
        out = np.frombuffer(data, np.float32).reshape(frames, channels)
        heard = self._heard(times)
        for begin in range(0, frames, _LARGEST_BLOCK):
            part = out[begin : begin + _LARGEST_BLOCK]
            part[:] = self._next(len(part), heard + begin / rate)[:, None]

    def _heard(self, times: Any) -> float:
        """When the first frame of this callback leaves the card, on the clock of `time.monotonic`.

        Both clocks are read now: PortAudio's own may be any, and this thread may be late.
        """
        try:
            ahead = times.outputBufferDacTime - self._stream.time
        except self._portaudio.PortAudioError:  # a clock that stands at zero
            ahead = -1.0
        # Some host APIs leave the time of the buffer at zero.
        return time.monotonic() + (ahead if -0.1 < ahead < 2.0 else self._stream.latency)

    def _next(self, frames: int, heard: float) -> np.ndarray:
        """(frames,) at the card's rate; valid until the next call."""
        if self._resampler is None:
            block = self._block[:frames]
            self._ring.read(block, heard)
            return block
        block = self._block_of(self._resampler.needed(frames))
        self._ring.read(block, heard + self._resampler.delay)
        return self._resampler.process(block, frames)

    def _block_of(self, frames: int) -> np.ndarray:
        if frames > len(self._block):  # a card much slower than our rate
            self._block = np.zeros(frames, np.float32)
        return self._block[:frames]

    def _is_playing(self) -> bool:
        # Without asking the stream, which another thread may be closing.
        return not self._ended.is_set() and time.monotonic() - self._called < _STALLED

    def _check(self) -> None:
        if self._is_playing():
            return
        with self._opening:
            if self._closed or self._is_playing():
                return
            self._close_stream()
            if self._stuck:
                raise OutputError(f"the sound card was lost for good; {_WAY_OUT}")
            self._reopen()

    def _close_stream(self) -> None:
        """Close the stream; if PortAudio does not come back from that, leave it alone for good."""
        if self._stuck:
            return
        closer = threading.Thread(target=self._stream.close, args=(True,), daemon=True)
        closer.start()
        closer.join(_CLOSE_WITHIN)
        if closer.is_alive():
            self._stuck = True
            # Terminating would hang the same way, and sounddevice does that at exit.
            self._portaudio._initialized = 0

    def _reopen(self) -> None:
        """Look for a sound card until there is one again.

        Raises:
            OutputError: if there is none in time; what was written is kept for a later attempt.
        """
        self._ring.restart()
        deadline = time.monotonic() + _REOPEN_FOR
        while not self._closed:
            try:
                self._restart_portaudio()
                self._open()
            except (OutputError, self._portaudio.PortAudioError) as error:
                if time.monotonic() > deadline:
                    raise OutputError(f"the sound card was lost: {error}") from error
                self._sleep(_REOPEN_EVERY)
            else:
                self._reopened += 1
                return

    def _restart_portaudio(self) -> None:
        """Have PortAudio list the devices again, which it does once, when it is initialised."""
        while self._portaudio._initialized:
            self._portaudio._terminate()
        self._portaudio._initialize()


def _portaudio() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise OutputError(
            f"no sound: {error} (pip install sounddevice; on Linux also "
            f"apt install libportaudio2); {_WAY_OUT}"
        ) from error
    return sounddevice
