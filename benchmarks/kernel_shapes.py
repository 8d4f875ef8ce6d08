"""The calls in which NLLB, XTTS and Kokoro meet the kernels, at true size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from mlx_speak import kernels
from mlx_speak.nn.cache import KeyValueCache
from mlx_speak.translation.nllb_model import Decoder, Memory, NLLBConfig

Arrays = Sequence[mx.array]


@dataclass(frozen=True)
class Call:
    """One call, that may be made again and again on what it returned."""

    operation: str
    where: str
    """The model, what of it, and the dtype."""
    make: Callable[[], tuple[mx.array, Arrays]]
    """The input, and what else is read: weights and caches, anew in each call."""
    run: Callable[..., mx.array]
    """Of the input and the rest, through the dispatcher."""
    again: Callable[[mx.array], mx.array] | None = None
    """The next input, without computing anything; None if a result cannot be one."""


def calls(small: bool = False) -> Iterator[Call]:
    """All of them; `small` for a trial, at sizes that take no time."""
    width, heads, hidden, vocabulary = (128, 2, 256, 5000) if small else (1024, 16, 4096, 256206)
    bf16 = mx.bfloat16
    source, target = (9, 5) if small else (40, 30)
    for bits in (None, 8, 4):
        kind = f"{bits} bits" if bits else "bf16"
        for what, inputs, outputs, fused in (
            ("norm + queries, keys, values", width, 3 * width, {"norm": True}),
            ("output + residual", width, width, {"residual": True}),
            ("norm + up + ReLU", width, hidden, {"norm": True, "activation": "relu"}),
            ("down + residual", hidden, width, {"residual": True}),
        ):
            for rows in (1, 4):
                title = f"NLLB, {what}, {kind}, {rows} row{'s' * (rows > 1)}"
                yield _projection(title, rows, inputs, outputs, bits, **fused)
    for beams in (1, 4):
        beam = f"bf16, {beams} beam{'s' * (beams > 1)}"
        yield _decode_attention(f"NLLB, {beam}", beams, heads, target)
        yield _cross_attention(f"NLLB, {beam}", beams, heads, source)
        for length in (source, 20 * source):
            yield _quantized_cross_attention(f"NLLB, {beam}, 8 bits", beams, heads, length)
    for bits in (None, 8, 4):
        kind = f"{bits} bits" if bits else "bf16"
        for beams in (1, 4):
            yield _query_attention(f"NLLB, {kind}", bits, beams, width, heads, source)
    yield _decode_attention("XTTS, bf16", 1, heads, 2 * target if small else 400)
    for bits in (None, 8):
        kind = f"{bits} bits" if bits else "bf16"
        yield _embedding(f"NLLB, a token, {kind}", vocabulary, width, bits)
    yield _residual_layer_norm("NLLB, bf16", width)
    for dtype, title in ((bf16, "bf16"), (mx.float32, "fp32")):
        yield _argmax(f"NLLB, {title}", vocabulary, dtype)
    for k in (8, 50):
        yield _top_k(f"NLLB, bf16, {vocabulary} logits", vocabulary, k)
    for length in (6,) if small else (60, 140):
        yield _lstm(f"Kokoro, {length} steps, fp32", length, width // 4)
    for rows, channels in ((24, 64), (60, 32)) if small else ((800, 256), (4800, 128)):
        yield _instance_norm(f"Kokoro, snake, {rows}x{channels}, fp32", rows, channels)
    upsamplings = (
        ("Kokoro, first upsampling", 80, 512, 20, 10),
        ("Kokoro, second upsampling", 800, 256, 12, 6),
        ("XTTS, first upsampling", 94, 512, 16, 8),
        ("XTTS, last upsampling", 12032, 64, 4, 2),
    )
    for where, frames, channels, taps, stride in upsamplings[: 1 if small else None]:
        size = (9, 16) if small else (frames, channels)
        yield _conv_transpose1d(f"{where}, fp32", *size, taps, stride)
    yield _istft("Kokoro, 1 s, fp32", 33 if small else 4801)
    for bits in (None, 8):
        yield _decoder(f"NLLB, {bits or 'no'} bits: all of the decoder", width, heads, hidden,
                       2 if small else 12, bits, source, target)  # fmt: skip


def _normal(*shape: int, dtype: mx.Dtype = mx.bfloat16, scale: float = 1.0) -> mx.array:
    return (scale * mx.random.normal(shape)).astype(dtype)


def _projection(
    where: str,
    rows: int,
    inputs: int,
    outputs: int,
    bits: int | None,
    *,
    norm: bool = False,
    activation: kernels.Activation | None = None,
    residual: bool = False,
) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        weight = _normal(outputs, inputs, scale=inputs**-0.5)
        weights = list(mx.quantize(weight, 64, bits)) if bits else [weight]
        ones = mx.ones(inputs, mx.bfloat16)
        rest = [_normal(outputs), ones, 0 * ones, _normal(rows, outputs), *weights]
        return _normal(rows, inputs), rest

    def run(
        x: mx.array, bias: mx.array, scale: mx.array, shift: mx.array, other: mx.array,
        *weights: mx.array,
    ) -> mx.array:  # fmt: skip
        return kernels.projection(
            x,
            kernels.QuantizedArray(*weights, 64, bits) if bits else weights[0],
            bias,
            norm=kernels.Norm(scale, shift, 1e-5) if norm else None,
            activation=activation,
            residual=other if residual else None,
        )

    def again(y: mx.array) -> mx.array:
        return y[:, :inputs]  # a view

    name = "quantized_projection" if bits else "projection"
    return Call(name, where, make, run, again if outputs >= inputs else None)


def _decode_attention(where: str, beams: int, heads: int, length: int) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        capacity = -(-(length + beams) // 64) * 64
        caches = [_normal(2, 1, heads, slots, 64) for slots in (capacity, beams)]
        mask = mx.random.uniform(shape=(1, 1, beams, length + beams)) < 0.7
        return _normal(1, heads, beams, 64), [*caches, *([mask] if beams > 1 else [])]

    def run(x: mx.array, cached: mx.array, new: mx.array, mask: mx.array | None = None) -> mx.array:
        out, extended = kernels.decode_attention(x, cached[:, :, :, :length], new, mask=mask)
        return mx.depends([out], [extended])[0]

    return Call("decode_attention", f"{where}, {length} slots", make, run, lambda y: y)


def _cross_attention(where: str, beams: int, heads: int, length: int) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        return _normal(1, heads, beams, 64), [_normal(1, heads, length, 64) for _ in range(2)]

    return Call(
        "cross_attention",
        f"{where}, {length} slots",
        make,
        kernels.cross_attention,
        lambda y: y,
    )


def _query_attention(
    where: str, bits: int | None, beams: int, width: int, heads: int, length: int
) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        weight = _normal(width, width, scale=width**-0.5)
        weights = list(mx.quantize(weight, 64, bits)) if bits else [weight]
        ones = mx.ones(width, mx.bfloat16)
        source = [_normal(1, heads, length, 64) for _ in range(2)]
        return _normal(1, beams, width), [ones, 0 * ones, *source, *weights]

    def run(
        x: mx.array, scale: mx.array, shift: mx.array, keys: mx.array, values: mx.array,
        *weights: mx.array,
    ) -> mx.array:  # fmt: skip
        weight = kernels.QuantizedArray(*weights, 64, bits) if bits else weights[0]
        norm = kernels.Norm(scale, shift, 1e-5)
        return kernels.query_attention(x, weight, shift, keys, values, norm=norm)

    def again(y: mx.array) -> mx.array:
        return y.transpose(0, 2, 1, 3).reshape(1, beams, width)  # a view of what the kernel wrote

    title = f"{where}, {beams} beam{'s' * (beams > 1)}, {length} slots"
    return Call("query_attention", title, make, run, again)


def _quantized_cross_attention(where: str, beams: int, heads: int, length: int) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        pair = [kernels.QuantizedArray.of(_normal(1, heads, length, 64)) for _ in range(2)]
        return _normal(1, heads, beams, 64), [a for array in pair for a in array.arrays]

    def run(x: mx.array, *arrays: mx.array) -> mx.array:
        keys, values = (kernels.QuantizedArray(*arrays[i : i + 3], 64, 8) for i in (0, 3))
        return kernels.quantized_cross_attention(x, keys, values)

    name = "quantized_cross_attention"
    return Call(name, f"{where}, {length} slots", make, run, lambda y: y)


def _embedding(where: str, vocabulary: int, dims: int, bits: int | None) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        table = _normal(vocabulary, dims)
        weights = list(mx.quantize(table, 64, bits)) if bits else [table]
        return mx.array([[vocabulary // 2]]), [_normal(1, dims, dtype=mx.float32), *weights]

    def run(ids: mx.array, positions: mx.array, *weights: mx.array) -> mx.array:
        weight = kernels.QuantizedArray(*weights, 64, bits) if bits else weights[0]
        return kernels.embedding(ids, weight, positions, scale=dims**0.5, blank=1)

    return Call("embedding", where, make, run)


def _residual_layer_norm(where: str, dims: int) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        ones = mx.ones(dims, mx.bfloat16)
        return _normal(1, dims), [_normal(1, dims), ones, 0 * ones]

    def run(x: mx.array, residual: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        total, normed = kernels.residual_layer_norm(x, residual, weight, bias, eps=1e-5)
        return mx.depends([normed], [total])[0]

    return Call("residual_layer_norm", where, make, run, lambda y: y)


def _argmax(where: str, vocabulary: int, dtype: mx.Dtype) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        return _normal(1, vocabulary, dtype=dtype), []

    return Call("argmax", f"{where}, {vocabulary} logits", make, kernels.argmax)


def _top_k(where: str, vocabulary: int, k: int) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        return _normal(1, vocabulary), []

    def run(x: mx.array) -> mx.array:
        values, places = kernels.top_k(x, k)
        return mx.depends([places], [values])[0]

    return Call("top_k", f"{where}, k = {k}", make, run)


def _lstm(where: str, length: int, hidden: int) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        weights = _normal(2, 4 * hidden, hidden, dtype=mx.float32, scale=hidden**-0.5)
        return _normal(1, length, 8 * hidden, dtype=mx.float32), [weights]

    return Call("lstm", where, make, kernels.lstm)


def _instance_norm(where: str, rows: int, channels: int) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        style = [_normal(1, 1, channels, dtype=mx.float32) for _ in range(2)]
        return _normal(1, rows, channels, dtype=mx.float32), [*style, mx.ones(channels)]

    def run(x: mx.array, gamma: mx.array, beta: mx.array, snake: mx.array) -> mx.array:
        return kernels.instance_norm(x, gamma, beta, eps=1e-5, snake=snake)

    return Call("instance_norm", where, make, run, lambda y: y)


def _conv_transpose1d(where: str, frames: int, channels: int, taps: int, stride: int) -> Call:
    def make() -> tuple[mx.array, Arrays]:
        x = _normal(1, frames, channels, dtype=mx.float32)
        bias = _normal(channels // 2, dtype=mx.float32)
        return x, [_normal(channels // 2, taps, channels, dtype=mx.float32), bias]

    def run(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        return kernels.conv_transpose1d(
            x, weight, bias, stride=stride, padding=(taps - stride) // 2, negative_slope=0.1
        )

    return Call("conv_transpose1d", where, make, run)


def _istft(where: str, frames: int, n_fft: int = 20) -> Call:
    bins = n_fft // 2 + 1

    def make() -> tuple[mx.array, Arrays]:
        basis = _normal(2 * bins, n_fft, dtype=mx.float32)
        return _normal(1, frames, 2 * bins, dtype=mx.float32), [basis, mx.ones(n_fft)]

    def run(x: mx.array, basis: mx.array, window: mx.array) -> mx.array:
        parts = mx.split(x, 2, axis=-1)
        return kernels.istft(*parts, basis, window, hop_length=n_fft // 4, polar=True)

    return Call("istft", where, make, run)


def _decoder(
    where: str, width: int, heads: int, hidden: int, layers: int, bits: int | None,
    source: int, target: int,
) -> Call:  # fmt: skip
    config = NLLBConfig(300, width, 0, layers, heads, heads, hidden, hidden)
    decoder = Decoder(config)
    decoder.set_dtype(mx.bfloat16)
    if bits:
        nn.quantize(decoder, 64, bits)
    mx.eval(decoder.parameters())

    def make() -> tuple[mx.array, Arrays]:
        cached = [_normal(2, 1, heads, 64, 64) for _ in range(layers)]
        known = [_normal(1, heads, source, 64) for _ in range(2 * layers)]
        return _normal(1, 1, width), [*cached, *known]

    def run(x: mx.array, *arrays: mx.array) -> mx.array:
        known = arrays[layers:]
        # The caches are another's, so they are copied; in a decoder they are written in place.
        caches = [KeyValueCache(array, target) for array in arrays[:layers]]
        memory = Memory([(known[2 * i], known[2 * i + 1]) for i in range(layers)], None)
        y, caches = decoder(x, caches, None, memory)
        return mx.depends([y], [cache.keys_values for cache in caches])[0]

    return Call("nllb_decoder", where, make, run, lambda y: y)
