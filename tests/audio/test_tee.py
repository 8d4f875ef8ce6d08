"""One sound to several outputs."""

from __future__ import annotations

import numpy as np
import pytest

from mlx_speak.audio import Audio, open_output
from mlx_speak.audio.tee import CopyError
from mlx_speak.errors import OutputError


def test_every_output_gets_the_sound_and_the_first_tells_the_time(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    samples = np.linspace(-0.5, 0.5, 800, dtype=np.float32)
    with open_output(["silent", *paths], sample_rate=8000) as output:
        assert output.write(samples[:300], more=True) == (0, 300)
        assert output.write(samples[300:]) == (300, 800)
        assert output.wait(800, timeout=2)
        assert output.heard_at(799) - output.heard_at(0) == pytest.approx(0.1, abs=0.02)
        assert output.stats.frames == 800
    for path in paths:
        np.testing.assert_allclose(Audio.load(path).samples, samples, atol=1 / 32768)


def test_what_was_opened_is_closed_when_a_later_one_cannot_be(tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(OutputError, match="unknown output"):
        open_output([str(path), "gramophone"])
    path.unlink()  # not held open anywhere that would forbid it
    with pytest.raises(OutputError, match="unknown output"):
        open_output([])


def test_a_file_that_fails_does_not_silence_the_listener(tmp_path):
    with open_output(["null", str(tmp_path / "a.wav")], sample_rate=8000) as output:
        output._outputs[1].close()
        with pytest.raises(CopyError) as failure:
            output.write(np.zeros(100, np.float32))
        assert failure.value.span == (0, 100)
        assert output.stats.frames == 100
