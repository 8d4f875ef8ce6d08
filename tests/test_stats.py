"""What the times of sentences add up to, and their picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeTranslator, FakeVoice
from support import package

from mlx_speak.errors import OutputError
from mlx_speak.pipeline import Pipeline
from mlx_speak.player import Track
from mlx_speak.plots import STAGES, waterfall
from mlx_speak.stats import Stats
from mlx_speak.text import TextEvent
from mlx_speak.utterance import Times, Utterance


def utterance(index: int, *, seen: float, **options) -> Utterance:
    times = Times(
        seen=seen,
        found=seen + 0.1,
        begun=seen + 0.15,
        translated=seen + 0.2,
        first_chunk=seen + 0.5,
        heard=seen + 0.6,
        finished=seen + 2.0,
    )
    state = options.pop("state", "heard")
    return Utterance(index, f"Sentence {index}.", times, Track(), state=state, **options)


def test_latencies_are_of_sentences_that_came_into_silence() -> None:
    stats = Stats()
    stats.add(utterance(0, seen=10.0))
    late = utterance(1, seen=11.0)  # while the first is heard, until 12
    late.times.heard, late.times.finished = 12.05, 14.0
    stats.add(late)
    stats.add(utterance(2, seen=20.0))
    assert list(stats.latencies) == pytest.approx([0.6, 0.6])
    assert list(stats.gaps) == pytest.approx([0.05])
    assert list(stats.makings) == pytest.approx([0.4] * 3)
    assert list(stats.translations) == pytest.approx([0.1] * 3)
    assert stats.percentile(stats.latencies, 50) == pytest.approx(0.6)
    assert stats.percentile([], 50) is None


def test_every_sentence_is_counted_once_joined_ones_with_their_host() -> None:
    stats = Stats()
    for index, (state, sentences) in enumerate(
        [("heard", 3), ("joined", 1), ("joined", 1), ("failed", 1), ("skipped", 2), ("heard", 1)]
    ):
        stats.add(utterance(index, seen=index * 10.0, state=state, sentences=sentences))
    assert (stats.heard, stats.failed, stats.skipped) == (4, 1, 2)
    assert stats.sentences == 7


def test_drafts_are_rated() -> None:
    stats = Stats()
    assert stats.draft_hit_rate is None
    stats.add(utterance(0, seen=0.0, draft_kept=1.0, prepared=True))
    stats.add(utterance(1, seen=10.0, draft_kept=0.5))
    stats.add(utterance(2, seen=20.0))
    assert stats.draft_hit_rate == 0.75
    assert (stats.drafted, stats.whole, stats.prepared) == (2, 1, 1)
    assert "drafts 75% right" in str(stats)


def test_a_waterfall_shows_every_stage_of_every_sentence(tmp_path: Path) -> None:
    package("matplotlib")
    stats = Stats()
    for index in range(5):
        stats.add(utterance(index, seen=index * 3.0))
    stats.records[2].times.heard = None  # nothing was heard of it
    path = tmp_path / "waterfall.png"
    figure = stats.waterfall(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    (axes,) = figure.axes
    assert [label.get_text().split("  ")[0] for label in axes.get_yticklabels()] == [*"12345"]
    widths = [bar.get_width() for bar in axes.patches if bar.get_y() < 0.5 and bar.get_width()]
    assert widths[: len(STAGES)] == pytest.approx([0.1, 0.05, 0.05, 0.3, 0.1, 1.4])
    assert figure.axes[0].get_legend() is not None
    with pytest.raises(OutputError, match=r"no/such/folder|\.xyz"):
        stats.waterfall(tmp_path / "picture.xyz")


def test_a_waterfall_of_nothing_is_empty() -> None:
    package("matplotlib")
    assert waterfall([]).axes[0].get_yticklabels() == []


def test_a_pipeline_keeps_what_a_waterfall_needs(tmp_path: Path) -> None:
    package("matplotlib")
    events = [TextEvent("It costs $5 or $6. Fine.", "text", "m"), TextEvent("", "end", "m")]
    with Pipeline(FakeTranslator(), FakeVoice(), source="en", target="pt", output="null") as pipe:
        list(pipe.run(events))
        pipe.stats().waterfall(tmp_path / "w.svg")
    assert (tmp_path / "w.svg").read_text().startswith("<?xml")
