"""XTTS on the kernels, under emulation, against the network as it is."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
from kernel_cases import normal

from mlx_speak.speech.xtts.gpt import GPT
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


def test_codes_are_the_same_on_the_kernels(emulated) -> None:
    """A text read and one code after it, of a GPT in small: states equal, eight bits and fp32."""
    mx.random.seed(5)
    gpt = GPT(128, 2, 2, 20, 12, 10, 10)  # heads of 64, as the kernels want them
    for bits in (None, 8):
        if bits:
            nn.quantize(gpt, group_size=32, bits=bits)
        expected = states(gpt)
        with emulated() as emulator:
            found = states(gpt)
        ran = [executed.call.name for executed in emulator.executed]
        assert sum("_projection_" in name for name in ran) == 3 * 4 * 2  # all calls, all layers
        assert sum("_decode_attention_" in name for name in ran) == 2 * 2  # but for the first
        assert mx.abs(found - expected).max().item() < 1e-5  # of values around one


def states(gpt: GPT) -> mx.array:
    context = gpt.read(normal(1, 3, 128, dtype=mx.float32, seed=2))
    first, context = gpt.start(mx.array([[1, 5, 7, 0]]), mx.array([[10]]), context)
    second, _ = gpt.step(mx.array([[4]]), context)
    both = mx.concatenate([first, second], axis=1)
    mx.eval(both)
    return both
