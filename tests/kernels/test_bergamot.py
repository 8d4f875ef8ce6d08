"""Bergamot on the kernels, under emulation, against the network as it is."""

from __future__ import annotations

import mlx.core as mx

from mlx_speak.translation.bergamot_model import Bergamot, BergamotConfig

LAYERS = 2


def test_logits_are_the_same_on_the_kernels(emulated) -> None:
    """In fp32, heads of 32 as Firefox's models have them; sums are of another order."""
    mx.random.seed(7)
    model = Bergamot(BergamotConfig("en", "pt", 50, 50, 128, 256, 4, LAYERS, LAYERS))
    input_ids, target_ids = mx.array([[5, 7, 9, 0], [5, 0, 3, 3]]), mx.array([[8, 2, 0], [4, 0, 0]])
    mask = mx.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    expected = model(input_ids, target_ids, mask)
    mx.eval(expected)
    with emulated() as emulator:
        found = model(input_ids, target_ids, mask)
    ran = [executed.call.name for executed in emulator.executed]
    # Every residual connection of the encoder's two sublayers and the decoder's three.
    assert sum("residual_layer_norm" in name for name in ran) == (2 + 3) * LAYERS
    assert mx.abs(expected).max().item() > 1
    assert mx.abs(found - expected).max().item() < 1e-5
