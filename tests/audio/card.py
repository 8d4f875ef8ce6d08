"""A sound card made of Python, with the faults that no real one has on demand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


class Card:
    """Stands for the module `sounddevice` with one device; the test asks for its blocks."""

    class PortAudioError(Exception):
        pass

    def __init__(self):
        self.channels, self.rate, self.rates = 2, 48000, {24000, 48000}
        self.present = True
        self.clock = 1000.0
        self.latency = 0.05
        self.streams: list[Stream] = []
        self.restarts = 0
        self._initialized = 1

    def query_devices(self, device, kind):
        if not self.present:
            raise self.PortAudioError("Error querying device -1")
        return {
            "name": "card",
            "default_samplerate": float(self.rate),
            "max_output_channels": self.channels,
        }

    def RawOutputStream(self, **options):
        if not self.present or options["samplerate"] not in self.rates:
            raise self.PortAudioError("Invalid sample rate")
        self.streams.append(Stream(self, options))
        return self.streams[-1]

    def _terminate(self):
        self._initialized -= 1

    def _initialize(self):
        self._initialized += 1
        self.restarts += 1

    def lose(self):
        """As when the plug is pulled: the stream ends by itself."""
        self.present = False
        self.streams[-1].options["finished_callback"]()


class Stream:
    def __init__(self, card, options):
        self.card, self.options = card, options
        self.started = self.closed = False

    @property
    def time(self):
        if not self.card.clock:
            raise self.card.PortAudioError("Error getting stream time")
        return self.card.clock

    @property
    def latency(self):
        return self.card.latency

    def start(self):
        self.started = True

    def close(self, ignore_errors=False):
        self.closed = True

    def ask(self, frames, ahead=0.02, underflow=False) -> np.ndarray:
        """One callback; (frames, channels)."""
        out = np.full((frames, self.options["channels"]), np.nan, np.float32)
        times = SimpleNamespace(outputBufferDacTime=self.card.clock + ahead)
        status = SimpleNamespace(output_underflow=underflow)
        self.options["callback"](memoryview(out).cast("B"), frames, times, status)
        assert not np.isnan(out).any()
        return out
