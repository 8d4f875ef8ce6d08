"""XTTS's vocoder on the kernels, under emulation, against the vocoder as it is."""

from __future__ import annotations

import mlx.core as mx
from kernel_cases import normal

from mlx_speak.speech.xtts.hifigan import Decoder, DecoderConfig


def test_samples_are_the_same_on_the_kernels(emulated) -> None:
    """Upsamplings of the kernels and strides that XTTS has, in fp32."""
    mx.random.seed(3)
    config = DecoderConfig(
        upsample_initial_channel=32, resblock_kernel_sizes=(3, 5), resblock_dilations=(1, 3)
    )
    decoder = Decoder(config, 8, 6, (2.0, 1.1))
    latents, speaker = (normal(*shape, dtype=mx.float32, seed=1) for shape in ((1, 5, 8), (1, 6)))
    expected = decoder(latents, speaker)
    mx.eval(expected)
    with emulated() as emulator:
        samples = decoder(latents, speaker)
    assert len(emulator.executed) == 4
    assert mx.abs(expected).max().item() > 1e-3
    assert mx.abs(samples - expected).max().item() < 1e-6
