"""XTTS's chunks on machines of many speeds, played as they come."""

from __future__ import annotations

import pytest

from mlx_speak.speech.xtts.pace import LONGEST, Pace

SOUND, FIRST, CODES = 0.0464, 6, 200
HELD_BACK = 0.2
"""Seconds at the end whose sound waits for the codes after them."""


def speak(pace: Pace, making: float, decoding: float, speed: float = 1.0) -> tuple[float, list]:
    """Seconds of silence within 200 codes, each made in `making`, and the sizes of the chunks."""
    now, done, until, silence, sizes = 0.0, 0, 0.0, 0.0, []
    due, first_made, sound = pace.first(speed), 0.0, 0.0
    while done < CODES:
        count = min(due, CODES) - done
        now += count * making
        for _ in range(count):
            pace.learn_code(making)
        seconds = (count + (7 if done else 0)) * decoding
        now += seconds
        pace.learn_chunk(count, (count + 7) * decoding)
        ready = (done + count) * SOUND / speed - HELD_BACK / speed
        first_made = first_made or now
        if done:
            silence += max(0.0, now - until)
        until = max(now, until) + ready - sound
        ahead = max(ready - (now - first_made), ready - sound)
        sound, done = ready, done + count
        sizes.append(count)
        due = done + pace.after(count, ahead, speed)
    return silence, sizes


@pytest.mark.parametrize("speed", [1.0, 1.3])
@pytest.mark.parametrize(
    ("making", "decoding"), [(0.002, 0.0005), (0.008, 0.0015), (0.012, 0.003), (0.015, 0.004)]
)
def test_no_gap_where_the_machine_keeps_up(making: float, decoding: float, speed: float) -> None:
    pace = Pace(SOUND, FIRST)
    speak(pace, making, decoding, speed)
    silence, sizes = speak(pace, making, decoding, speed)
    assert silence == 0
    assert sizes[0] <= 12


def test_a_slow_machine_begins_later_and_then_goes_through() -> None:
    """Two cores of a server, in 8 bits: 70 % of the time goes into codes and their sound."""
    pace = Pace(SOUND, FIRST)
    gaps, sizes = speak(pace, 0.022, 0.0105)
    assert sizes[:3] == [6, 10, 16]  # it has to find out, and short chunks would make it later
    assert 0 < gaps < 1
    silence, sizes = speak(pace, 0.022, 0.0105)
    assert silence == 0
    assert FIRST < sizes[0] <= 24


def test_where_it_cannot_keep_up_it_begins_soon_and_grows() -> None:
    pace = Pace(SOUND, FIRST)
    for _ in range(2):
        _, sizes = speak(pace, 0.054, 0.0105)
        assert sizes[:4] == [6, 10, 16, 26]
        assert max(sizes) <= LONGEST


def test_of_a_fast_machine_the_first_chunk_is_the_least() -> None:
    pace = Pace(SOUND, FIRST)
    speak(pace, 0.004, 0.001)
    assert pace.first() == FIRST
