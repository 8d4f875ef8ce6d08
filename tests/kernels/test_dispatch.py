"""Who runs what: choices, limits, errors, and what is built how often."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace

import kernel_cases as cases
import metal_emu
import mlx.core as mx
import numpy as np
import pytest
from kernel_cases.attention import cross_attention, decode_attention, query_attention
from kernel_cases.instance import instance_norm
from mlx_speak.kernels import dispatch

from mlx_speak import kernels
from mlx_speak.errors import SpeakError

OPERATION = kernels.OPERATIONS[0]


def test_auto_takes_a_kernel_only_where_it_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    winner = replace(OPERATION, wins={"metal": "benchmarks/kernels.py on some chip"})
    for here in (None, "metal", "cuda"):
        monkeypatch.setattr(dispatch, "gpu", lambda here=here: here)
        assert OPERATION.backend(True) == "ops"
        assert winner.backend(True) == ("metal" if here == "metal" else "ops")
        assert winner.backend(False) == "ops"
    assert "wins on cuda" in winner.why()[1]
    monkeypatch.setattr(dispatch, "gpu", lambda: "metal")
    assert winner.why() == ("metal", "benchmarks/kernels.py on some chip")


@pytest.mark.parametrize("name", cases.SMALL)
def test_no_kernel_has_won_yet(name: str) -> None:
    """Until a benchmark on a Mac says otherwise, "auto" is plain MLX, and nothing is claimed."""
    case = cases.SMALL[name][0]
    with metal_emu.emulated() as emulator:
        case.operation(*case.arguments, **case.options)
    assert not emulator.executed
    assert all(not operation.wins for operation in kernels.OPERATIONS)


def test_a_choice_lasts_until_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "gpu", lambda: "metal")
    assert OPERATION.backend(True) == "ops"
    with kernels.use("metal"):
        assert OPERATION.backend(True) == "metal"
        with kernels.use("ops"):
            assert OPERATION.backend(True) == "ops"
            assert 'use("ops")' in OPERATION.why()[1]
        assert OPERATION.backend(True) == "metal"
        with pytest.raises(ZeroDivisionError), kernels.use("auto"):
            _ = 1 / 0
        assert OPERATION.backend(True) == "metal"
    assert OPERATION.backend(True) == "ops"


def test_a_choice_holds_for_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that runs the models is not the one that a user calls from."""
    monkeypatch.setattr(dispatch, "gpu", lambda: "metal")
    seen: list[str] = []
    with kernels.use("metal"):
        thread = threading.Thread(target=lambda: seen.append(OPERATION.backend(True)))
        thread.start()
        thread.join()
    assert seen == ["metal"]


@pytest.mark.parametrize("choice", ["metal", "cuda"])
def test_a_backend_that_is_not_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, choice: dispatch.Choice
) -> None:
    monkeypatch.setattr(dispatch, "gpu", lambda: None)
    with pytest.raises(kernels.BackendNotAvailableError, match=f"{choice}.*the CPU") as caught:
        kernels.use(choice)
    assert isinstance(caught.value, SpeakError)
    assert OPERATION.backend(True) == "ops"


def test_a_choice_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'gpu' is none of auto, metal, cuda, ops"):
        kernels.use("gpu")  # type: ignore[arg-type]


def test_the_cpu_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.cpu))
    assert kernels.gpu() is None


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(decode_attention(0), id="empty cache"),
        pytest.param(decode_attention(5, tokens=9), id="many tokens"),
        pytest.param(decode_attention(5, dims=32), id="small heads"),
        pytest.param(cross_attention(5, tokens=9), id="many tokens across"),
        pytest.param(cross_attention(5, dims=96), id="odd heads across"),
        pytest.param(query_attention(5, tokens=9), id="many tokens to project"),
        pytest.param(query_attention(5, tokens=3, batch=3), id="many rows to project"),
        pytest.param(query_attention(5, dims=32), id="small heads to project"),
    ],
)
def test_other_shapes_run_in_plain_mlx(emulated, case: cases.Case) -> None:
    with emulated() as emulator:
        assert not case.problem(case.operation, arithmetic=1e-5)
    assert not emulator.executed


def test_other_dtypes_run_in_plain_mlx(emulated) -> None:
    case = decode_attention(5)
    queries, *others = case.arguments
    with emulated() as emulator:
        out, _ = kernels.decode_attention(queries.astype(mx.float16), *others)
        assert kernels.argmax(mx.array([[3, 5, 1]])).item() == 1
        x = mx.ones((2, 4), mx.float16)
        kernels.residual_layer_norm(x, x, mx.ones(4), mx.zeros(4), eps=1e-5)
    assert out.dtype == mx.float32
    assert not emulator.executed


def test_every_axis_before_the_last_is_a_row(emulated) -> None:
    x = mx.random.normal((2, 3, 40), key=mx.random.key(0))
    weight, bias = mx.ones(40), mx.zeros(40)
    with emulated() as emulator:
        total, normed = kernels.residual_layer_norm(x, x, weight, bias, eps=1e-5)
        best = kernels.argmax(x)
        assert kernels.argmax(x[0, 0]).shape == ()
    assert len(emulator.executed) == 5
    expected = kernels.residual_layer_norm_ops(x, x, weight, bias, eps=1e-5)
    assert total.shape == normed.shape == x.shape
    assert mx.allclose(total, expected[0])
    assert mx.allclose(normed, expected[1], atol=1e-6)
    assert mx.array_equal(best, mx.argmax(x, axis=-1))


def test_argmax_stays_in_the_row_whatever_it_finds(emulated) -> None:
    rows = mx.array([[float("nan")] * 40, [-float("inf")] * 40, [float("nan")] * 39 + [1.0]])
    with emulated():
        best = kernels.argmax(rows)
    assert best[1].item() == 0
    assert (best < 40).all().item()


def test_pointwise_plain_mlx_is_compiled_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all lengths at once, and to the same result."""
    cases_of_lengths = [instance_norm(length, snake=False) for length in (7, 30)]
    monkeypatch.setattr(dispatch, "gpu", lambda: "metal")
    for case in cases_of_lengths:
        assert not case.problem(case.operation, arithmetic=1e-5)


def test_of_equal_scores_the_first_are_taken(emulated) -> None:
    """Also where there are more of them than places, and whatever the sign of zero."""
    rows = mx.array([[0.0, 1.0] * 4, [-0.0, 0.0] * 4, [-float("inf")] * 8])
    rows = mx.concatenate([rows] * 513, axis=-1)  # two parts, the second of them shorter than k
    with emulated():
        values, places = kernels.top_k(rows, 30)
    assert places.tolist() == [[*range(1, 60, 2)], [*range(30)], [*range(30)]]
    assert mx.array_equal(values, mx.take_along_axis(rows, places, axis=-1))


def test_top_k_stays_in_the_row_whatever_it_finds(emulated) -> None:
    bits = np.repeat(np.array([[0x7FC00000], [0xFFC00000]], np.uint32), 4104, axis=1)
    with emulated():
        _, places = kernels.top_k(mx.array(bits.view(np.float32)), 30)  # NaN of both signs
    assert all(len(set(row)) == 30 and max(row) < 4104 for row in places.tolist())


def test_more_than_the_kernels_hold_runs_in_plain_mlx(emulated) -> None:
    with emulated() as emulator:
        kernels.top_k(mx.zeros((1, 5000)), 65)
        kernels.top_k(mx.zeros((1, 64 * 4096 + 1)), 64)
        x = mx.zeros((1, 3, 4))
        kernels.conv_transpose1d(x, mx.zeros((4, 3, 1)), stride=2, groups=4)
        kernels.conv_transpose1d(x, mx.zeros((4, 5, 4)), stride=1)
        kernels.istft(*[mx.zeros((1, 3, 41))] * 2, mx.zeros((82, 80)), mx.ones(80), hop_length=20)
    assert not emulator.executed


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda q, k, m: kernels.decode_attention(q, _two(k)[:, :, :1], _two(q)), "keys_values"),
        (lambda q, k, m: kernels.decode_attention(q, k, _two(q)), "keys_values"),
        (lambda q, k, m: kernels.decode_attention(q, _two(k), _two(k)), "new_keys_values"),
        (lambda q, k, m: kernels.decode_attention(q, _two(k), q), "new_keys_values"),
        (lambda q, k, m: kernels.decode_attention(q, _two(k), _two(q), mask=m), "mask"),
        (lambda q, k, m: kernels.decode_attention(q[0], _two(k), _two(q)), "queries"),
        (lambda q, k, m: kernels.cross_attention(q, k, k, mask=m[..., :4]), "mask"),
        (lambda q, k, m: kernels.cross_attention(q, k, k, mask=m.astype(mx.int32)), "booleans"),
        (lambda q, k, m: kernels.query_attention(q, k[0, 0], None, k, k), "x has"),
        (lambda q, k, m: kernels.query_attention(q[0], k[0, 0], None, k, k), "weight"),
        (lambda q, k, m: kernels.query_attention(q[0], mx.zeros((128, 64)), None, k, k), "keys"),
        (lambda q, k, m: kernels.embedding(m, k[0, 0], k[0, 0, :, :8]), "positions"),
        (lambda q, k, m: kernels.embedding(m, k[0], k[0, 0]), "weight"),
        (lambda q, k, m: kernels.residual_layer_norm(q, k, m, m, eps=0), "residual"),
        (lambda q, k, m: kernels.residual_layer_norm(q, q, m, m, eps=0), "weight"),
        (lambda q, k, m: kernels.argmax(mx.zeros((3, 0))), "logits"),
        (lambda q, k, m: kernels.lstm(q[0], q[0]), "weights"),
        (lambda q, k, m: kernels.lstm(q[0], mx.zeros((1, 8, 2))), "weights"),
        (lambda q, k, m: kernels.lstm(q[0], mx.zeros((2, 8, 2))), "inputs"),
        (lambda q, k, m: kernels.lstm(q, mx.zeros((2, 8, 2))), "inputs"),
        (lambda q, k, m: kernels.argmax(mx.array(1.0)), "logits"),
        (lambda q, k, m: kernels.conv_transpose1d(k, k, stride=1), "x and weight"),
        (lambda q, k, m: kernels.conv_transpose1d(k[0], m[0], stride=1), "weight"),
        (lambda q, k, m: kernels.conv_transpose1d(k[0], k[0], k[0], stride=1), "bias"),
        (lambda q, k, m: kernels.conv_transpose1d(k[0], k[0], stride=1, padding=5), "padding of 5"),
        (lambda q, k, m: kernels.top_k(mx.zeros((2, 3)), 4), "scores"),
        (lambda q, k, m: kernels.top_k(mx.zeros((2, 3)), 0), "scores"),
        (lambda q, k, m: kernels.istft(k, k, k, k, hop_length=1), "real has"),
        (lambda q, k, m: kernels.istft(k[0], q[0], k, k, hop_length=1), "imag"),
        (lambda q, k, m: kernels.istft(k[0], k[0], k, k, hop_length=1), "basis"),
        (lambda q, k, m: kernels.instance_norm(k, q, q, eps=0), "x has"),
        (lambda q, k, m: kernels.instance_norm(k[0], k[0], q[0], eps=0), "gamma"),
        (lambda q, k, m: kernels.instance_norm(k[0], q[0], k[0], eps=0), "beta"),
        (lambda q, k, m: kernels.instance_norm(k[0], q[0], q[0], eps=0, snake=q), "snake"),
        (lambda q, k, m: kernels.instance_norm(k[0], q[0], q[0], eps=0, moments=(k, k)), "moments"),
    ],
)
def test_shapes_that_do_not_fit_are_named(call, names: str) -> None:
    queries, keys = mx.zeros((1, 2, 1, 64)), mx.zeros((1, 2, 5, 64))
    mask = mx.ones((1, 1, 1, 5), mx.bool_)
    with pytest.raises(ValueError, match=names):
        call(queries, keys, mask)


def _two(x: mx.array) -> mx.array:
    """Keys and values, which here are the same."""
    return mx.stack([x, x])


def test_a_kernel_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads ask for it at the same time, and for whatever shapes."""
    built = []

    def factory(**options):
        built.append(options["name"])
        time.sleep(0.05)  # long enough for every thread to ask before there is one
        return lambda *, output_shapes, **call: [mx.zeros(shape) for shape in output_shapes]

    monkeypatch.setattr(dispatch, "gpu", lambda: "metal")
    monkeypatch.setattr(mx.fast, "metal_kernel", factory)
    start, results = threading.Barrier(8), []

    def run(length: int) -> None:
        queries, keys = mx.zeros((1, 1, 1, 64)), mx.zeros((1, 1, length, 64))
        start.wait()
        results.append(kernels.cross_attention(queries, keys, keys).shape)

    with kernels.use("metal"):
        threads = [threading.Thread(target=run, args=(length,)) for length in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [(1, 1, 1, 64)] * 8
    assert built == ["mlx_speak_cross_attention"]


def test_the_listing_says_what_runs_and_why() -> None:
    command = [sys.executable, "-m", "mlx_speak.kernels"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for operation in kernels.OPERATIONS:
        assert operation.name in run.stdout
        assert all(f"{kernel.name}.metal" in run.stdout for kernel in operation.kernels)
    assert "ops" in run.stdout
