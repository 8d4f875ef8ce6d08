"""`Speakers` against a sound card made of Python."""

from __future__ import annotations

import builtins
import threading
import time

import numpy as np
import pytest
from audio.card import Card

from mlx_speak.audio import Audio, open_output, speakers
from mlx_speak.audio.speakers import Speakers
from mlx_speak.errors import OutputError

RATE = 24000


@pytest.fixture
def card(monkeypatch):
    card = Card()
    monkeypatch.setattr(speakers, "_portaudio", lambda: card)
    monkeypatch.setattr(speakers, "_REOPEN_EVERY", 0.01)
    return card


def speech(frames: int, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(frames) / RATE)).astype(np.float32)


@pytest.mark.parametrize(("channels", "opened"), [(1, 1), (2, 2), (128, 2)])
def test_plays_on_both_sides(card, channels, opened):
    card.channels = channels
    with Speakers(RATE) as output:
        output.write(speech(512))
        block = card.streams[0].ask(512)
        assert block.shape == (512, opened)
        for side in block.T:
            np.testing.assert_array_equal(side, speech(512))
        assert card.streams[0].options["latency"] == 0.05
    assert card.streams[0].closed


def test_never_stops_when_there_is_nothing(card):
    with Speakers(RATE):
        for _ in range(3):
            assert not card.streams[0].ask(300).any()


def test_a_block_larger_than_any(card):
    output = Speakers(RATE)
    source = speech(20000)
    output.write(source)
    np.testing.assert_array_equal(card.streams[0].ask(20000)[:, 0], source)
    heard = output.heard_at(19999) - output.heard_at(0)
    assert heard == pytest.approx(19999 / RATE, abs=0.001)
    output.close()


def test_time_of_hearing_comes_from_the_card(card):
    output = Speakers(RATE)
    output.write(speech(2400))
    before = time.monotonic()
    card.streams[0].ask(240, ahead=0.08)
    after = time.monotonic()
    assert before + 0.08 <= output.heard_at(0) <= after + 0.08
    assert output.heard_at(240) is None
    output.close()


@pytest.mark.parametrize("fault", ["no time of the buffer", "no clock"])
def test_a_card_without_times_has_its_latency(card, fault):
    output = Speakers(RATE)
    output.write(speech(2400))
    if fault == "no clock":
        card.clock = 0.0
    before = time.monotonic()
    card.streams[0].ask(240, ahead=-card.clock)
    after = time.monotonic()
    assert before + 0.05 <= output.heard_at(0) <= after + 0.05
    output.close()


def test_underflows_are_not_underruns(card):
    output = Speakers(RATE)
    card.streams[0].ask(240, underflow=True)
    output.write(speech(240), more=True)
    card.streams[0].ask(240, underflow=True)
    assert (output.stats.underflows, output.stats.underruns) == (2, 0)
    card.streams[0].ask(240)
    assert (output.stats.underflows, output.stats.underruns) == (2, 1)
    output.close()


def test_resamples_where_the_card_refuses(card):
    card.rates = {48000}
    output = Speakers(RATE)
    assert card.streams[0].options["samplerate"] == 48000
    assert output.sample_rate == RATE
    output.write(speech(RATE))
    # Stopping short of the end, where the ring would fall to silence.
    heard = np.concatenate([card.streams[0].ask(count)[:, 0] for count in [333, 512, 1024] * 20])
    expected = Audio(speech(RATE), RATE).resample(48000).samples
    delay = round(output._resampler.delay * 48000)
    # Both filter the same tone with the same weights, summed in another order.
    np.testing.assert_allclose(
        heard[delay + 200 :], expected[200 : len(heard) - delay], rtol=0, atol=1e-6
    )
    assert output.stats.played == pytest.approx(len(heard) / 2, abs=1)
    output.close()


def test_a_card_much_slower_than_the_speech(card):
    card.rate, card.rates = 8000, {8000}
    output = Speakers(RATE)
    output.write(speech(RATE * 2))
    assert card.streams[0].ask(8192).shape == (8192, 2)
    assert output.stats.played == pytest.approx(8192 * 3, abs=3)
    output.close()


def test_opens_no_card_that_refuses_both_rates(card):
    card.rates = set()
    with pytest.raises(
        OutputError, match=r"cannot open 'card' \(Invalid sample rate\).*speech\.wav"
    ):
        open_output("speakers")


def test_opens_no_missing_card(card):
    card.present = False
    with pytest.raises(OutputError, match=r"no sound card .*output='null'"):
        Speakers(RATE)


def test_names_the_missing_library(monkeypatch):
    real = builtins.__import__

    def without_sounddevice(name, *rest):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_sounddevice)
    with pytest.raises(OutputError, match=r"library not found.*apt install libportaudio2.*null"):
        Speakers(RATE)


def test_a_lost_card_is_found_again_with_all_that_was_queued(card):
    output = Speakers(RATE)
    source = speech(4800)
    output.write(source)
    card.streams[0].ask(1000)
    card.lose()
    threading.Timer(0.2, setattr, (card, "present", True)).start()
    output.write(source)  # finds the card lost, and waits for it
    assert card.streams[0].closed
    assert card.restarts >= 1
    assert card._initialized == 1
    found = card.streams[-1]
    assert found.started
    rest = found.ask(8600)[:, 0]
    # Amid a word it begins on a rise of 8 ms; from there on, every sample.
    np.testing.assert_array_equal(rest[192:], np.concatenate([source, source])[1192:])
    assert np.abs(rest[0]) < 0.01
    assert output.stats.reopened == 1
    output.close()


def test_a_card_that_stays_lost_is_an_error_and_keeps_the_rest(card, monkeypatch):
    monkeypatch.setattr(speakers, "_REOPEN_FOR", 0.1)
    output = Speakers(RATE)
    output.write(speech(4800))
    card.lose()
    for _ in range(2):
        with pytest.raises(OutputError, match=r"was lost: no sound card.*speech\.wav"):
            output.wait(4800, timeout=5)
    assert output.buffered == 0.2
    card.present = True
    output.write(speech(10))
    assert output.stats.reopened == 1
    np.testing.assert_array_equal(card.streams[-1].ask(4800)[:, 0], speech(4800))
    output.close()


def test_a_stalled_card_is_opened_again(card, monkeypatch):
    monkeypatch.setattr(speakers, "_STALLED", 0.05)
    output = Speakers(RATE)
    time.sleep(0.1)
    output.write(speech(10))
    assert output.stats.reopened == 1
    output.close()


def test_close_ends_the_search_for_a_card(card):
    output = Speakers(RATE)
    card.lose()
    writer = threading.Thread(target=output.write, args=(speech(10),))
    writer.start()
    time.sleep(0.1)
    closing = time.monotonic()
    output.close()
    output.close()
    writer.join(5)
    assert not writer.is_alive()
    assert time.monotonic() - closing < 1


def test_a_stream_that_cannot_be_closed_hangs_nothing(card, monkeypatch):
    monkeypatch.setattr(speakers, "_CLOSE_WITHIN", 0.05)
    output = Speakers(RATE)
    stuck = threading.Event()
    monkeypatch.setattr(card.streams[0], "close", lambda ignore_errors: stuck.wait(30))
    card.lose()
    card.present = True
    for _ in range(2):
        with pytest.raises(OutputError, match="lost for good"):
            output.write(speech(10))
    assert card._initialized == 0  # or else it would hang at exit
    output.close()
    stuck.set()


def test_audio_play(card):
    """`play` blocks until the last sample has been heard; without `block` it can be stopped."""
    audio = Audio(speech(2400), RATE)
    done = threading.Event()

    def serve():
        while not done.wait(0.005):
            for stream in card.streams:
                if not stream.closed:
                    stream.ask(240, ahead=0.0)

    server = threading.Thread(target=serve)
    server.start()
    try:
        assert audio.play() is None
        assert card.streams[0].closed
        long = Audio(speech(10 * RATE), RATE)
        playing = long.play(block=False)
        assert playing.buffered > 1
        playing.close()
        assert card.streams[1].closed
    finally:
        done.set()
        server.join()
