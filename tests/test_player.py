"""The player: order, taking back, another pace, pause, and words in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from mlx_speak.audio import Audio
from mlx_speak.audio.output import NullOutput
from mlx_speak.audio.realtime import SilentOutput
from mlx_speak.player import Player

pytestmark = pytest.mark.sound  # what is said when is measured to a fifth of a second

RATE = 8000


class Recorder(SilentOutput):
    """A sound card that keeps what it plays, with the time at which it asked for it."""

    def __init__(self) -> None:
        self.blocks: list[tuple[float, np.ndarray]] = []
        super().__init__(RATE)

    def _played(self, out: np.ndarray) -> None:
        self.blocks.append((time.monotonic(), out.copy()))

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate([block for _, block in self.blocks])

    def silent_at(self, after: float) -> float:
        """When the first block without sound was asked for after that time."""
        return next(at for at, block in self.blocks if at > after and np.abs(block).max() < 1e-3)

    def loud_at(self, after: float) -> float:
        return next(at for at, block in self.blocks if at > after and np.abs(block).max() > 0.05)


def tone(seconds: float, frequency: float, level: float = 0.3) -> Audio:
    at = np.arange(round(seconds * RATE)) / RATE
    return Audio((level * np.sin(2 * np.pi * frequency * at)).astype(np.float32), RATE)


@pytest.fixture
def card() -> Iterator[Recorder]:
    output = Recorder()
    yield output
    output.close()


@pytest.fixture
def player(card: Recorder) -> Iterator[Player]:
    player = Player(card)
    yield player
    player.close()


def say(player: Player, *parts: Audio, urgent: bool = False):
    track = player.open(urgent)
    for part in parts:
        player.add(track, part, player.speed)
    player.finish(track)
    return track


def finish(player: Player, track, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not player.wait(track, 0.05):
        assert time.monotonic() < deadline, "it is not heard to its end"


def seconds_of(samples: np.ndarray, frequency: float) -> float:
    """How long a tone is heard."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::80] * np.hanning(400)
    at = np.arange(400) / RATE
    power = np.abs(frames @ np.exp(-2j * np.pi * frequency * at)) / 100
    return float((power > 0.1).sum() * 80 / RATE)


def test_little_is_handed_on_before_it_is_due(card: Recorder, player: Player) -> None:
    track = say(player, tone(12.0, 300))
    time.sleep(0.4)
    assert 1.5 < card.buffered < 2.6
    assert player.ahead == pytest.approx(11.6, abs=0.3)
    player.drop(track)
    assert player.ahead == pytest.approx(0, abs=0.1)


def test_another_pace_is_heard_within_a_tenth_of_a_second(card: Recorder, player: Player) -> None:
    track = say(player, tone(3.0, 400))
    time.sleep(0.5)
    asked = time.monotonic()
    player.speed = 1.5
    finish(player, track)
    # 2.5 s were left, which take two thirds of the time.
    assert time.monotonic() - asked == pytest.approx(2.5 / 1.5, abs=0.2)
    # Pitch and seam: the tone is there all the time, and nowhere steeper than it is.
    assert seconds_of(card.samples, 400) == pytest.approx(0.5 + 2.5 / 1.5, abs=0.2)
    assert np.abs(np.diff(card.samples)).max() < 2 * 0.3 * 2 * np.pi * 400 / RATE


def test_sound_made_for_a_pace_is_not_changed_twice(card: Recorder, player: Player) -> None:
    player.speed = 1.25
    track = say(player, tone(1.0, 400))
    begun = time.monotonic()
    finish(player, track)
    assert time.monotonic() - begun == pytest.approx(1.0, abs=0.15)


def test_pause_is_silence_at_once_and_nothing_is_lost(card: Recorder, player: Player) -> None:
    track = say(player, tone(1.0, 300))
    time.sleep(0.4)
    paused = time.monotonic()
    player.pause()
    time.sleep(0.5)
    assert card.silent_at(paused) - paused < 0.1
    assert not player.wait(track, 0.05)
    resumed = time.monotonic()
    player.resume()
    finish(player, track)
    assert card.loud_at(resumed) - resumed < 0.1
    assert seconds_of(card.samples, 300) == pytest.approx(1.0, abs=0.15)


def test_an_output_without_ears_gets_nothing_while_paused() -> None:
    output = NullOutput(RATE)
    player = Player(output)
    player.pause()
    track = say(player, tone(1.0, 300))
    time.sleep(0.1)
    assert output.stats.frames == 0
    player.resume()
    finish(player, track)
    assert output.stats.frames == RATE
    player.close()


def test_what_interrupts_is_heard_first_and_what_was_begun_again(
    card: Recorder, player: Player
) -> None:
    first, second = say(player, tone(1.0, 300)), say(player, tone(0.5, 700))
    time.sleep(0.5)
    asked = time.monotonic()
    urgent = player.interrupt()
    time.sleep(0.1)  # it takes a while to be made, in which nothing else is heard
    player.add(urgent, tone(0.5, 1500), player.speed)
    player.finish(urgent)
    finish(player, urgent)
    assert seconds_of(card.samples, 700) == 0
    finish(player, second)
    played = card.samples
    assert seconds_of(played, 1500) == pytest.approx(0.5, abs=0.1)
    assert seconds_of(played, 300) == pytest.approx(0.5 + 1.0, abs=0.2)
    assert seconds_of(played, 700) == pytest.approx(0.5, abs=0.1)
    assert player.heard(first) < asked, "it is its first beginning that counts"


def test_urgent_tracks_keep_their_order() -> None:
    output = Recorder()
    player = Player(output)
    player.pause()
    normal = say(player, tone(0.2, 300))
    for frequency in (1000, 1500):
        say(player, tone(0.2, frequency), urgent=True)
    player.resume()
    finish(player, normal)
    time.sleep(0.05)
    loud = output.samples[np.flatnonzero(np.abs(output.samples) > 0.05)[0] :]
    thirds = [loud[round(at * RATE) : round((at + 0.15) * RATE)] for at in (0.02, 0.22, 0.42)]
    peaks = [np.argmax(np.abs(np.fft.rfft(part))) * RATE / len(part) for part in thirds]
    assert peaks == pytest.approx([1000, 1500, 300], abs=20)
    player.close()
    output.close()


def test_a_dropped_track_makes_room_for_the_rest_of_the_next(
    card: Recorder, player: Player
) -> None:
    first, second = say(player, tone(0.6, 300)), say(player, tone(0.6, 700))
    time.sleep(0.3)
    player.drop(first)
    finish(player, second)
    assert seconds_of(card.samples, 300) == pytest.approx(0.3, abs=0.15)
    assert seconds_of(card.samples, 700) == pytest.approx(0.6, abs=0.1)


def test_the_first_audible_sample_counts_as_heard(card: Recorder, player: Player) -> None:
    quiet = Audio(np.full(RATE // 2, 0.005, np.float32), RATE)
    track = say(player, Audio.join([quiet, tone(0.3, 300)]))
    asked = time.monotonic()
    finish(player, track)
    assert player.heard(track) - asked == pytest.approx(0.5, abs=0.08)


def test_clear_while_a_chunk_is_being_handed_over(card: Recorder, player: Player) -> None:
    """Many times, from another thread: no deadlock, no sound afterwards."""
    for _ in range(20):
        track = say(player, tone(5.0, 300))
        thread = threading.Thread(target=player.clear)
        thread.start()
        thread.join(2)
        assert not thread.is_alive()
        assert track.dropped
    time.sleep(0.1)
    assert card.buffered < 0.05
