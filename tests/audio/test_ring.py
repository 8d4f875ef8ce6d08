"""The ring against a model: nothing lost, nothing twice, every frame's time known, and no click."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlx_speak.audio.ring import Ring
from mlx_speak.audio.samples import rise
from mlx_speak.audio.timeline import Timeline

RATE = 24000
FADE = 192
AMPLITUDE, FREQUENCY = 0.5, 100.0
STEEPEST = AMPLITUDE * (2 * np.pi * FREQUENCY / RATE + 2 * np.pi / 2 / FADE)
"""Between neighbouring samples: the slope of the tone, and of a rise and a fall upon each other."""


def speech(begin: int, count: int) -> np.ndarray:
    """What is written at these positions: loud at most places, so that any break would click."""
    angle = 2 * np.pi * FREQUENCY * (np.arange(begin, begin + count) + 60) / RATE
    return (AMPLITUDE * np.sin(angle)).astype(np.float32)


class RingMachine(RuleBasedStateMachine):
    """Writes, reads, clears and pauses in any order, checked against plain lists."""

    @initialize(capacity=st.integers(1, 4000))
    def start(self, capacity):
        self.capacity = capacity
        self.timeline = Timeline(RATE)
        self.ring = Ring(capacity, FADE, self.timeline)
        self.heard = np.zeros(0, np.float32)
        self.withdrawn: list[range] = []
        self.kept = 0  # every frame before has been heard or withdrawn
        self.run_begin = self.next_place = 0
        """Places in `heard` where uninterrupted speech began, and where it would go on."""

    @rule(count=st.integers(0, 2000), more=st.booleans())
    def write(self, count, more):
        begin = self.ring.written
        free = self.capacity - (self.ring.written - self.ring.played)
        taken = self.ring.write(speech(begin, count), self.ring.epoch, more)
        assert taken == min(count, free)
        assert self.ring.written == begin + taken

    @rule(count=st.integers(1, 600))
    def read(self, count):
        before, played = len(self.heard), self.ring.played
        out = np.full(count, np.nan, np.float32)
        self.ring.read(out, before / RATE)
        self.heard = np.concatenate([self.heard, out])
        if self.ring.paused:
            assert self.ring.played == max(played, self.ring.cut)
        self.check_places(before)

    def check_places(self, before):
        """Every frame read is where the timeline says, at no more than its own level."""
        begin = self.ring.played
        while begin > self.kept and self.timeline.at(begin - 1) is not None:
            begin -= 1
        positions = np.arange(begin, self.ring.played)
        places = np.array([round(self.timeline.at(p) * RATE) for p in positions], int)
        assert (places >= before).all()
        self.kept = self.ring.played
        if not len(places):
            return
        assert (np.diff(places) == 1).all()
        expected, found = speech(begin, len(positions)), self.heard[places]
        gain = np.divide(found, expected, out=np.ones_like(found), where=np.abs(expected) > 1e-3)
        assert gain.min() >= 0
        assert gain.max() <= 1
        if places[0] != self.next_place:
            self.run_begin = places[0]
        self.next_place = places[-1] + 1
        risen = places - self.run_begin >= FADE
        np.testing.assert_array_equal(found[risen], expected[risen])

    @rule(count=st.integers(300, 2000), part=st.integers(1, 299))
    def play(self, count, part):
        """Leave speech sounding, which is where a break could click."""
        self.write(count, more=True)
        self.read(part)

    @rule()
    def clear(self):
        epoch, written = self.ring.epoch, self.ring.written
        self.withdrawn.append(range(max(self.ring.played, self.ring.cut), written))
        self.ring.clear()
        assert self.ring.queued == 0
        # A write that began before is refused, and leaves no trace.
        assert self.ring.write(speech(written, 10), epoch) is None
        assert self.ring.written == written

    @rule()
    def clear_is_soon_silent(self):
        self.clear()
        before = len(self.heard)
        self.read(FADE + 100)
        assert not self.heard[before + FADE :].any()

    @rule()
    def pause(self):
        self.ring.paused = True

    @rule()
    def resume(self):
        self.ring.paused = False

    @invariant()
    def nothing_is_lost(self):
        ring = self.ring
        assert ring.played <= ring.written
        assert ring.queued == ring.written - max(ring.played, ring.cut)
        assert 0 <= ring.written - ring.played <= self.capacity

    @invariant()
    def no_click(self):
        steps = np.abs(np.diff(np.concatenate([[0], self.heard[-1200:]])))
        if len(self.heard) > 1200:
            steps = steps[1:]
        assert steps.max(initial=0) <= STEEPEST

    @invariant()
    def withdrawn_is_never_heard(self):
        for frames in self.withdrawn[-2:]:
            if frames:
                assert self.timeline.at(frames[0]) is None
                assert self.timeline.at(frames[-1]) is None


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_quiet_start_is_left_as_it_is():
    ring = Ring(RATE, FADE, Timeline(RATE))
    samples = np.sin(np.arange(RATE // 2) / 20).astype(np.float32)
    ring.write(samples, ring.epoch)
    out = np.zeros(RATE, np.float32)
    for block in out.reshape(-1, 240):
        ring.read(block, 0.0)
    np.testing.assert_array_equal(out[: len(samples)], samples)


def test_loud_start_rises_and_loud_end_falls():
    ring = Ring(RATE, FADE, Timeline(RATE))
    ring.write(np.ones(1000, np.float32), ring.epoch)
    out = np.full(2000, np.nan, np.float32)
    for block in out.reshape(-1, 250):
        ring.read(block, 0.0)
    np.testing.assert_array_equal(out[:FADE], rise(FADE))
    assert (out[FADE:1000] == 1).all()
    np.testing.assert_array_equal(out[1000 : 1000 + FADE], rise(FADE)[::-1])
    assert not out[1000 + FADE :].any()


def test_clear_falls_along_the_speech_it_cuts():
    ring = Ring(RATE, FADE, Timeline(RATE))
    ring.write(speech(0, 5000), ring.epoch)
    out = np.zeros(1000, np.float32)
    ring.read(out, 0.0)
    ring.clear()
    ring.read(out, 0.0)
    np.testing.assert_array_equal(out[:FADE], speech(1000, FADE) * rise(FADE)[::-1])
    assert not out[FADE:].any()
    assert (ring.played, ring.dropped) == (5000, 4000)


def test_pause_repeats_what_it_faded():
    ring = Ring(RATE, FADE, Timeline(RATE))
    ring.write(speech(0, 5000), ring.epoch, expecting=True)
    out = np.zeros(1000, np.float32)
    ring.read(out, 0.0)
    ring.paused = True
    ring.read(out, 0.0)
    np.testing.assert_array_equal(out[:FADE], speech(1000, FADE) * rise(FADE)[::-1])
    assert not out[FADE:].any()
    assert (ring.played, ring.underruns) == (1000, 0)
    ring.paused = False
    ring.read(out, 0.0)
    np.testing.assert_array_equal(out[:FADE], speech(1000, FADE) * rise(FADE))
    np.testing.assert_array_equal(out[FADE:], speech(1000 + FADE, 1000 - FADE))


@pytest.mark.parametrize(("more", "underruns"), [(True, 1), (False, 0)])
def test_only_missing_speech_is_an_underrun(more, underruns):
    ring = Ring(RATE, FADE, Timeline(RATE))
    out = np.zeros(300, np.float32)
    ring.read(out, 0.0)
    ring.write(speech(0, 500), ring.epoch, more)
    for _ in range(5):
        ring.read(out, 0.0)
    assert ring.underruns == underruns
    ring.clear()
    ring.read(out, 0.0)
    assert ring.underruns == underruns


def test_ending_empty_write_expects_nothing():
    ring = Ring(RATE, FADE, Timeline(RATE))
    ring.write(speech(0, 100), ring.epoch, expecting=True)
    ring.write(speech(0, 0), ring.epoch, expecting=False)
    ring.read(np.zeros(300, np.float32), 0.0)
    assert ring.underruns == 0


def test_two_threads_lose_nothing():
    """A reader and a writer at full speed, without a lock between them."""
    total = 100_000
    source = np.linspace(0, 1, total, dtype=np.float32)
    ring = Ring(1000, FADE, Timeline(float("inf")))
    parts: list[np.ndarray] = []

    def read():
        while ring.played < total:
            if ring.queued >= 100:  # never dry, so that nothing is shaped
                parts.append(np.zeros(100, np.float32))
                ring.read(parts[-1], 0.0)
            else:
                time.sleep(0)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    written = 0
    while written < total and reader.is_alive():
        written += ring.write(source[written : written + 777], ring.epoch, True) or 0
    reader.join(60)
    np.testing.assert_array_equal(np.concatenate(parts), source)


def test_timeline_splits_where_playback_does():
    timeline = Timeline(RATE)
    assert timeline.at(0) is None
    assert timeline.end == 0
    timeline.mark(0, 240, 10.0)
    timeline.mark(240, 240, 10.01)
    timeline.mark(480, 240, 11.0)  # after a gap of 0.98 s
    timeline.mark(1000, 240, 11.01)  # 280 frames were dropped
    assert timeline.at(0) == 10.0
    assert timeline.at(479) == pytest.approx(10.0 + 479 / RATE)
    assert timeline.at(480) == 11.0
    assert timeline.at(720) is None
    assert timeline.at(999) is None
    assert timeline.at(1000) == 11.01
    assert timeline.at(1240) is None
    assert timeline.end == pytest.approx(11.02)


def test_timeline_follows_a_drifting_clock():
    timeline = Timeline(RATE)
    slow = 1.001  # a card whose second lasts a millisecond longer
    for block in range(6000):
        timeline.mark(block * 240, 240, block * 0.01 * slow)
    # Half a millisecond of the last stretch's start, and one of tolerance.
    assert timeline.at(5999 * 240) == pytest.approx(59.99 * slow, abs=0.0015)
    assert timeline.at(100 * 240) == pytest.approx(1.0 * slow, abs=0.0015)


def test_timeline_forgets_the_oldest():
    timeline = Timeline(RATE)
    for stretch in range(5000):
        timeline.mark(stretch * 10, 10, float(stretch))
    assert timeline.at(10) is None
    assert timeline.at(4999 * 10) == 4999.0
    assert timeline.at(1000 * 10) == 1000.0
