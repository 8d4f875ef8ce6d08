"""JACK's dummy server: a sound card that keeps real time and that nobody hears."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

RATE = 24_000
PERIOD = 256
"""Frames that it reads at a time."""


@contextmanager
def jack_server(name: str, rate: int = RATE) -> Iterator[dict[str, str]]:
    """Run one under a name of its own; gives the environment in which PortAudio finds it.

    Raises:
        FileNotFoundError: jackd2 is not installed.
    """
    environment = {"JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}
    command = ["jackd", "--no-realtime", "--no-mlock", "-n", name]
    server = subprocess.Popen(
        [*command, "-d", "dummy", "-r", str(rate), "-p", str(PERIOD * rate // RATE)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        listing = ["jack_lsp", "-s", name]
        while subprocess.run(
            listing, env={**os.environ, **environment}, capture_output=True, check=False
        ).returncode:
            assert server.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
        yield environment
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
