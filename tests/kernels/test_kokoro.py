"""Kokoro on the kernels, under emulation, against the model as it is."""

from __future__ import annotations

from collections import Counter

import metal_emu
import mlx.core as mx
import pytest
from kernel_cases import normal
from support import benchmark

from mlx_speak import kernels
from mlx_speak.nn.lstm import BiLSTM
from mlx_speak.speech.kokoro import decoder
from mlx_speak.speech.kokoro.albert import AlbertConfig
from mlx_speak.speech.kokoro.generator import GeneratorConfig
from mlx_speak.speech.kokoro.model import Kokoro, KokoroConfig

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


CONFIG = KokoroConfig(
    n_token=10,
    hidden_dim=16,
    style_dim=4,
    n_layer=2,
    max_dur=6,
    plbert=AlbertConfig(
        hidden_size=12, num_attention_heads=2, intermediate_size=8, num_hidden_layers=2
    ),
    istftnet=GeneratorConfig(
        upsample_rates=(4, 3),
        upsample_kernel_sizes=(8, 7),
        upsample_initial_channel=32,
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 3, 5), (1, 2, 4)),
        gen_istft_n_fft=16,
        gen_istft_hop_size=4,
    ),
)


@pytest.fixture
def kokoro(monkeypatch: pytest.MonkeyPatch) -> Kokoro:
    """A small one with random weights."""
    monkeypatch.setattr(decoder, "HIDDEN", 40)
    mx.random.seed(5)
    model = Kokoro(CONFIG)
    mx.eval(model.parameters())
    return model


def ran(emulator: metal_emu.Emulator) -> Counter[str]:
    """How often each kernel was dispatched, by its name."""
    known = [kernel.name for operation in kernels.OPERATIONS for kernel in operation.kernels]
    known.sort(key=len, reverse=True)
    names = (executed.call.name for executed in emulator.executed)
    return Counter(next(kernel for kernel in known if f"_{kernel}_" in name) for name in names)


def test_an_utterance_is_the_same_on_the_kernels(emulated, kokoro: Kokoro) -> None:
    """From phonemes to samples. The difference is of another order of the same sums, and of sines
    that the CPU has as a polynomial; it grows through fifty norms."""
    ids, style = mx.array([[0, 5, 2, 7, 3, 9, 1, 4, 0]]), normal(1, 8, dtype=mx.float32, seed=2)
    expected = kokoro(ids, style)
    mx.eval(expected.samples)
    with emulated() as emulator:
        spoken = kokoro(ids, style)
    assert spoken.durations.tolist() == expected.durations.tolist()
    size = mx.abs(expected.samples).max().item()
    assert size > 0.01
    assert mx.abs(spoken.samples - expected.samples).max().item() < 1e-4 * size
    counts = ran(emulator)
    assert counts["lstm"] == 5  # two of the durations' encoder, and three
    # Two norms for each of eleven styled blocks, six for each of six with snake; the last stage has
    # more frames than a threadgroup holds.
    assert counts["instance_norm"] + counts["instance_norm_parts"] == 11 * 2 + 6 * 6
    assert counts["instance_moments"] == counts["instance_norm_parts"] == 3 * 6
    assert (counts["conv_transpose1d"], counts["istft"]) == (2, 1)


def test_windows_of_an_utterance_are_the_same_on_the_kernels(emulated, kokoro: Kokoro) -> None:
    """With moments that are foretold, as a voice speaks that is not to wait for the whole."""
    generator, frames = kokoro.decoder.generator, 44
    x = normal(1, frames, 32, dtype=mx.float32, seed=3)
    style = normal(1, 4, dtype=mx.float32, seed=4)
    source = normal(1, 1 + 12 * frames, 18, dtype=mx.float32, seed=5)

    def moments(x: mx.array) -> tuple[mx.array, mx.array]:
        channels = mx.arange(x.shape[-1])[None, None] / x.shape[-1]
        return channels - 0.5, channels + 0.5

    expected = generator.render(x, source, style, moments)
    with emulated() as emulator:
        windows = [
            generator.render(x, source, style, moments, begin=begin, end=end)
            for begin, end in ((0, 20), (20, frames))
        ]
    counts = ran(emulator)
    assert counts["instance_norm_parts"] == 2 * 36
    assert not counts["instance_moments"]
    samples = mx.concatenate(windows, axis=1)
    size = mx.abs(expected).max().item()
    assert mx.abs(samples - expected).max().item() < 1e-4 * size
