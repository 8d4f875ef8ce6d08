"""What the tests of the sound card run in processes of their own: `players.py NAME` prints JSON.

PortAudio reads its surroundings once, when it is loaded; so each sound server gets a new process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np

from mlx_speak.audio.speakers import Speakers
from mlx_speak.errors import OutputError

RATE = 24000


def speech(seconds: float, frequency: float = 440.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


class Tapped(Speakers):
    """Keeps what is handed to PortAudio, with the time at which it was asked for."""

    def __init__(self, *arguments, slow: float = 0.0, **options):
        self.blocks: list[tuple[float, np.ndarray]] = []
        self._slow = slow
        super().__init__(*arguments, **options)

    def _next(self, frames, heard):
        block = super()._next(frames, heard)
        self.blocks.append((time.monotonic(), block.copy()))
        time.sleep(self._slow)
        return block

    def loud_until(self) -> float:
        return max(at for at, block in self.blocks if np.abs(block).max() > 0.001)

    def steepest(self) -> float:
        return float(np.abs(np.diff(np.concatenate([block for _, block in self.blocks]))).max())


def no_card() -> dict:
    """Open without a sound card."""
    try:
        Speakers(RATE)
    except OutputError as error:
        return {"error": str(error)}
    return {}


def unpaced() -> dict:
    """Play half a minute to a card that takes it as fast as it is offered."""
    with Speakers(RATE, capacity=1.0) as output:
        _, end = output.write(speech(30.0))
        waited = output.wait(end, timeout=30)
        drained = output.drain(timeout=30)
        marked = output.heard_at(end - 1) is not None
    return {**vars(output.stats), "waited": waited, "drained": drained, "marked": marked}


def to_file() -> dict:
    """Play one second to a card that keeps everything, slowly, so that it keeps little silence."""
    with Tapped(RATE, slow=0.005) as output:
        output.write(speech(1.0))
    return vars(output.stats)


def paced() -> dict:
    """Play five seconds in pieces, as a voice would write them."""
    with Speakers(RATE, capacity=1.0) as output:
        time.sleep(0.2)
        source = speech(5.0)
        started = time.monotonic()
        for begin in range(0, len(source), 6000):
            output.write(source[begin : begin + 6000], more=begin + 6000 < len(source))
        output.drain()
        took = time.monotonic() - started
        heard = [output.heard_at(frame) for frame in range(0, len(source), 240)]
    return {**vars(output.stats), "took": took, "heard": [at - started for at in heard]}


def controlled() -> dict:
    """Clear amid a write that blocks, speak again, pause, resume."""
    with Tapped(RATE, capacity=1.0) as output:
        released: list[float] = []

        def write():
            output.write(speech(20.0))
            released.append(time.monotonic())

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.5)
        cleared = time.monotonic()
        output.clear()
        writer.join(5)
        time.sleep(0.3)
        silent_after = output.loud_until() - cleared

        asked = time.monotonic()
        start, end = output.write(speech(1.0))
        time.sleep(0.4)
        paused = time.monotonic()
        output.pause()
        time.sleep(0.5)
        paused_after = output.loud_until() - paused
        held = output.stats.played
        time.sleep(0.2)
        moved = output.stats.played - held
        output.resume()
        waited = output.wait(end, timeout=5)
        first, last = output.heard_at(start), output.heard_at(end - 1)
    return {
        **vars(output.stats),
        "released_after": released[0] - cleared,
        "silent_after": silent_after,
        "again_after": first - asked,
        "paused_after": paused_after,
        "moved_while_paused": moved,
        "lasted": last - first,
        "waited": waited,
        "steepest": output.steepest(),
    }


def recorded() -> dict:
    """Play while another client of the server records what it is sent."""
    with Speakers(RATE) as output:
        recorder = subprocess.Popen(
            ["jack_rec", "-f", os.environ["RECORDING"], "-d", "3", "-b", "32", "PortAudio:out_0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(0.5)
        output.write(speech(1.0))
        output.drain()
        _, complaints = recorder.communicate(timeout=10)
    return {**vars(output.stats), "overruns": "overruns" in complaints}


def loses_the_server() -> dict:
    """The server dies in the middle of a word: prints when to end it, and reads when it is gone."""
    output = Speakers(RATE)
    _, end = output.write(speech(3.0))
    time.sleep(0.5)
    print("playing", flush=True)
    sys.stdin.readline()
    started = time.monotonic()
    error = None
    try:
        output.wait(end, timeout=30)
    except OutputError as lost:
        error = str(lost)
    took = time.monotonic() - started
    queued = round(output.buffered * RATE)
    started = time.monotonic()
    output.close()
    closed_in = time.monotonic() - started
    return {
        **vars(output.stats),
        "error": error,
        "took": took,
        "queued": queued,
        "closed_in": closed_in,
    }


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
