"""Sinusoids against their definition, and against the table that transformers makes."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from support import package

from mlx_speak.nn.positions import sinusoids


@pytest.mark.parametrize("dims", [4, 32, 1024])
def test_definition(dims: int) -> None:
    table = np.array(sinusoids(300, dims))
    half = dims // 2
    for position in (0, 1, 2, 77, 299):
        for i in {0, 1, half // 2, half - 1}:
            angle = position / 10000 ** (i / (half - 1))
            # One rounding to float32.
            assert table[position, i] == pytest.approx(math.sin(angle), abs=1e-7)
            assert table[position, half + i] == pytest.approx(math.cos(angle), abs=1e-7)


@pytest.mark.oracle
def test_transformers() -> None:
    """Which computes the angles in float32: at place p they are off by up to p / 2**24."""
    module = package("transformers.models.m2m_100.modeling_m2m_100")
    theirs = module.M2M100SinusoidalPositionalEmbedding.get_embedding(1026, 1024).numpy()
    off = abs(np.array(sinusoids(1026, 1024))[:1026] - theirs).max(axis=1)
    assert (off <= 1e-6 + np.arange(1026) / 2**24 * 2).all()


@pytest.mark.parametrize(("length", "rows"), [(1, 256), (256, 256), (257, 512), (1000, 1024)])
def test_few_tables_are_made(length: int, rows: int) -> None:
    table = sinusoids(length, 16)
    assert table.shape == (rows, 16)
    assert sinusoids(rows, 16) is table


def test_every_thread_may_use_them() -> None:
    """An unevaluated array would belong to the thread that asked first."""
    sums: list[float] = []
    sinusoids(5, 8)
    thread = threading.Thread(target=lambda: sums.append(sinusoids(5, 8)[0].sum().item()))
    thread.start()
    thread.join()
    assert sums == [4.0]
