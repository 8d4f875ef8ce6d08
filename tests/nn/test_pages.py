"""Weights in large pages: where the system has them, and the numbers as they were."""

from __future__ import annotations

import itertools
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from mlx_speak.nn import pages
from mlx_speak.nn.weights import load_weights

only_here = pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists() or mx.default_device() == mx.gpu,
    reason="only for CPUs, and systems with large pages",
)


def place(array: mx.array) -> tuple[int, int]:
    start = np.array(array, copy=False).__array_interface__["data"][0]
    return start, start + array.nbytes


def advised(array: mx.array) -> int:
    """Bytes of the mappings of an array for which the system has been asked for large pages."""
    start, end = place(array)
    first = last = total = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *fields = line.split()
        if not name.endswith(":"):
            first, last = (int(address, 16) for address in name.split("-"))
        elif name == "VmFlags:" and "hg" in fields:
            total += max(0, min(last, end) - max(first, start))
    return total


@only_here
def test_large_arrays_get_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_WORTHWHILE", 0)
    rng = np.random.default_rng(0)
    large = mx.array(rng.standard_normal((9 << 20) // 4, np.float32))
    small = mx.array(rng.standard_normal(1 << 10, np.float32))
    before = np.array(large)
    thread = pages.enlarge([large, small])
    assert thread is not None
    thread.join()
    assert advised(large) >= 6 << 20  # without what is no whole page at its ends
    assert np.array_equal(large, before)


@only_here
def test_arrays_may_go_away_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_WORTHWHILE", 0)
    for _ in range(20):
        arrays = [mx.full((3 << 20,), i, mx.float32) for i in range(4)]
        mx.eval(arrays)
        thread = pages.enlarge(arrays)
        del arrays
        other = mx.full((3 << 20,), 7, mx.float32)
        assert other.min().item() == other.max().item() == 7
        assert thread is not None
        thread.join()


def test_what_is_not_worth_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pages.enlarge([]) is None
    assert pages.enlarge([mx.zeros((4096, 4096))]) is None  # 64 MB
    monkeypatch.setattr(pages, "_WORTHWHILE", 1)
    assert pages.enlarge([mx.zeros(1024)]) is None
    assert pages.enlarge([mx.zeros((4096, 4096), mx.bfloat16)]) is None


@only_here
def test_a_models_weights_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_WORTHWHILE", 0)
    started = []
    monkeypatch.setattr(
        "mlx_speak.nn.weights.enlarge", lambda arrays: started.append(pages.enlarge(arrays))
    )
    stored = nn.Linear(2048, 2048)
    stored.save_weights(str(tmp_path / "model.safetensors"))
    (tmp_path / "config.json").write_text("{}")
    model = nn.Linear(2048, 2048)
    load_weights(model, tmp_path)
    started[0].join()
    assert advised(model.weight) >= 12 << 20
    assert mx.array_equal(model.weight, stored.weight)


def test_neighbours_are_taken_together() -> None:
    arrays = [mx.zeros(1 << 20) for _ in range(3)]
    mx.eval(arrays)
    ranges = pages._ranges(arrays)
    assert ranges == sorted(ranges)
    for start, end in map(place, arrays):
        assert any(first <= start and end <= last for first, last in ranges)
    assert all(later[0] - one[1] > pages._APART for one, later in itertools.pairwise(ranges))
