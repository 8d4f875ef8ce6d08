"""What the compiled library computes on the CPU, against float64 and against plain MLX."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from support import needs

from mlx_speak import blas, kernels
from mlx_speak.nn import native
from mlx_speak.nn.activations import gelu_tanh
from mlx_speak.nn.attention import attend_extending
from mlx_speak.nn.cache import KeyValueCache
from mlx_speak.nn.projection import project, score

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only MLX on Linux needs it")

rng = np.random.default_rng(0)
NORMAL = rng.standard_normal


@pytest.fixture(autouse=True)
def _library() -> None:
    needs(blas.library() is not None, "a C compiler and an OpenBLAS")


def quantized(outputs: int, inputs: int, bits: int, group: int = 64) -> nn.QuantizedLinear:
    linear = nn.Linear(inputs, outputs)
    linear.bias = mx.array(NORMAL(outputs).astype(np.float32))
    return nn.QuantizedLinear.from_linear(linear, group, bits)


def weights(layer: nn.Module) -> np.ndarray:
    """Of a quantised layer, in float64, from what is stored."""
    shifts = np.arange(0, 32, layer.bits, dtype=np.uint32)
    packed = np.array(layer.weight)[..., None] >> shifts & (2**layer.bits - 1)
    numbers = packed.reshape(len(packed), -1, layer.group_size).astype(np.float64)
    scales, offsets = (np.array(x, np.float64)[..., None] for x in (layer.scales, layer.biases))
    return (numbers * scales + offsets).reshape(len(packed), -1)


def normed(x: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + norm.eps)
    return x * np.array(norm.weight, np.float64) + np.array(norm.bias, np.float64)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 33])
@pytest.mark.parametrize("outputs", [1, 65, 1000])
def test_quantized_products(called, bits: int, group: int, rows: int, outputs: int) -> None:
    layer = quantized(outputs, 256, bits, group)
    x = NORMAL((rows, 256)).astype(np.float32)
    found = project(mx.array(x)[None], layer)
    assert called == ["projection"]
    expected = x @ weights(layer).T + np.array(layer.bias)
    # Sums of 256 terms of which the largest are 16 times the weights, as offsets take them back.
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("activation", [None, nn.relu, gelu_tanh])
@pytest.mark.parametrize("residual", [False, True])
def test_all_of_a_projection(called, bits: int, rows: int, activation, residual: bool) -> None:
    layer, norm = quantized(130, 192, bits), nn.LayerNorm(192, eps=1e-5)
    norm.weight, norm.bias = (mx.array(NORMAL(192).astype(np.float32)) for _ in range(2))
    x = (3 + NORMAL((rows, 192))).astype(np.float32)
    beside = NORMAL((rows, 130)).astype(np.float32) if residual else None
    found = project(
        mx.array(x),
        layer,
        norm=norm,
        activation=activation,
        residual=None if beside is None else mx.array(beside),
    )
    assert called == ["projection"]
    expected = normed(x.astype(np.float64), norm) @ weights(layer).T + np.array(layer.bias)
    if activation is nn.relu:
        expected = np.maximum(expected, 0)
    if activation is gelu_tanh:
        inner = np.sqrt(2 / np.pi) * (expected + 0.044715 * expected**3)
        expected = expected / 2 * (1 + np.tanh(inner))
    expected = expected if beside is None else expected + beside
    # As above, of inputs that a norm has made a few times as large.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_single_row_by_many_weights(called) -> None:
    layer, norm = nn.Linear(1024, 1024), nn.LayerNorm(1024)
    for rows in (1, 2):
        x = NORMAL((1, rows, 1024)).astype(np.float32)
        found = project(mx.array(x), layer, norm=norm, residual=mx.array(x))
        expected = normed(x.astype(np.float64), norm) @ np.array(layer.weight, np.float64).T
        # Sums of 1024 products of which the square root of the sum of squares is half.
        np.testing.assert_allclose(found, expected + np.array(layer.bias) + x, rtol=0, atol=5e-6)
        assert called == ["projection"]  # for one row


@pytest.mark.parametrize("heads", [1, 3, 16])
@pytest.mark.parametrize("length", [0, 1, 2, 63, 64, 200])
@pytest.mark.parametrize("own", [True, False])
def test_attention_of_a_token(called, heads: int, length: int, own: bool) -> None:
    if not own and not length:
        return
    queries, *token = NORMAL((3, 1, heads, 1, 24)).astype(np.float32)
    cached = NORMAL((2, 1, heads, length, 24)).astype(np.float32)
    room = np.pad(cached, [(0, 0)] * 3 + [(0, 5), (0, 0)], constant_values=np.nan)
    cache = KeyValueCache(mx.array(room), length)
    if own:
        keys_values = mx.array(np.stack(token))
        found, cache = attend_extending(mx.array(queries), keys_values, cache)
        cached = np.concatenate([cached, np.stack(token)], axis=3)
        assert np.array_equal(mx.stack(list(cache.filled)), cached)
    else:
        found = native.attention(mx.array(queries), cache.keys_values, length)
    assert called == ["attend"]
    keys, values = cached.astype(np.float64)
    scores = queries @ keys.swapaxes(2, 3) / np.sqrt(24)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ values
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)  # fp32, of values of size 1


def test_the_logits_of_a_quantized_table(called) -> None:
    table = nn.QuantizedEmbedding.from_embedding(nn.Embedding(300, 64), 64, 8)
    hidden = mx.array(NORMAL((2, 1, 64)).astype(np.float32))
    expected = np.array(hidden) @ weights(table).T
    np.testing.assert_allclose(score(hidden, table), expected, rtol=0, atol=2e-6)
    assert called


def test_what_is_no_number_stays_none() -> None:
    layer = quantized(70, 64, 8)
    x = np.full((2, 64), 1, np.float32)
    x[1, 5] = np.nan
    found = np.array(project(mx.array(x), layer, activation=nn.relu))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_several_callers_at_once() -> None:
    layer = quantized(2000, 512, 8)
    xs = [mx.array(NORMAL((n, 512)).astype(np.float32)) for n in (1, 2, 4)]
    mx.eval(xs, layer.parameters())
    expected = [np.array(project(x, layer)) for x in xs]
    with ThreadPoolExecutor(3) as pool:
        for x, found in zip(xs * 20, pool.map(lambda x: project(x, layer), xs * 20), strict=True):
            assert np.array_equal(found, expected[len(x) // 2])


@pytest.mark.parametrize("why", ["compiled", "forced", "half precision", "no library"])
def test_where_it_is_not_for_the_library_mlx_computes(called, monkeypatch, why: str) -> None:
    layer = quantized(70, 64, 8)
    x = mx.array(NORMAL((1, 64)).astype(np.float32))
    expected = np.array(x) @ weights(layer).T + np.array(layer.bias)
    if why == "compiled":
        found = mx.compile(lambda x: project(x, layer))(x)
    elif why == "forced":
        with kernels.use("ops"):
            found = project(x, layer)
    elif why == "half precision":
        layer.set_dtype(mx.bfloat16)
        found = project(x.astype(mx.bfloat16), layer)
    else:
        monkeypatch.setattr(blas, "library", lambda: None)
        found = project(x, layer)
    assert not called
    tolerance = 0.1 if why == "half precision" else 2e-6  # bfloat16 keeps eight bits
    np.testing.assert_allclose(found.astype(mx.float32), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_under_sanitizers(tmp_path: Path, sanitizer: str) -> None:
    compiler = shutil.which("gcc")
    needs(compiler is not None, "gcc")
    provider = next(blas._providers(""))
    program, code = tmp_path / "check", Path(blas.__file__).with_name("native")
    subprocess.run(
        [
            *(compiler, "-O1", "-g", "-march=native", "-pthread", f"-fsanitize={sanitizer}"),
            *("-fno-sanitize-recover=all", f"-DBLAS_INT={provider.integer}", f"-I{code}"),
            *map(str, [Path(__file__).with_name("native_check.c"), *code.glob("*.c")]),
            *("-o", program, "-ldl", "-lm"),
        ],
        check=True,
    )
    # OpenBLAS keeps its buffers for good.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [program, provider.path, provider.prefix, provider.suffix],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
