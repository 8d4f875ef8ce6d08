"""Kokoro's recurrent modules through the dispatcher, under emulation."""

from __future__ import annotations

import mlx.core as mx
import pytest
from kernel_cases import normal
from support import benchmark

from mlx_speak.nn.lstm import BiLSTM
from mlx_speak.speech.kokoro.prosody import ProsodyPredictor
from mlx_speak.speech.kokoro.text import TextEncoder

dispatches = benchmark("graphs").dispatches


@pytest.mark.parametrize("batch", [1, 2])
def test_a_layer_is_one_dispatch_in_place_of_all_its_steps(emulated, batch: int) -> None:
    layer, length = BiLSTM(12, 8), 9
    x = normal(batch, length, 12, dtype=mx.float32, seed=1)
    expected = layer(x)
    with emulated() as emulator:
        out = layer(x)
        assert len(emulator.executed) == 1
    assert mx.allclose(out, expected, atol=1e-6)
    assert 10 * len(dispatches(layer, x, on="metal")) <= len(dispatches(layer, x))


def test_kokoros_modules_are_equal_on_the_kernel(emulated) -> None:
    encoder = TextEncoder(10, 16, 5, 2)
    prosody = ProsodyPredictor(16, 4, 2, 6)
    ids, style = mx.array([[1, 5, 2, 7, 3]]), normal(1, 4, dtype=mx.float32, seed=2)

    def run() -> list[mx.array]:
        encoded = encoder(ids)
        features = prosody.text_encoder(encoded, style)
        curves = prosody.curves(features, style)
        return [encoded, features, prosody.durations(features), *curves]

    expected = run()
    with emulated() as emulator:
        results = run()
    names = [executed.call.name for executed in emulator.executed]
    assert sum("_lstm" in name for name in names) == 5  # a layer each
    assert sum("_instance_norm" in name for name in names) == 2 * len(
        [*prosody.f0, *prosody.energy]
    )
    for result, plain in zip(results, expected, strict=True):
        assert mx.allclose(result, plain, rtol=1e-4, atol=1e-4)
