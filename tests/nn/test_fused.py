"""Fused pointwise work equals the plain, for any shape, with and without a compiler."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_speak.nn import fused
from mlx_speak.nn.fused import add_norm, fuse


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(fused, "compiler_works", lambda: False)
    return request.param


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16])
def test_add_norm(compiler: bool, dtype: mx.Dtype) -> None:
    """One trace serves every width: the means must not be those of the first."""
    for shape in ((1, 1, 256), (1, 16, 256), (3, 7, 512), (2, 5, 33)):
        x, y = (mx.random.normal(shape, key=mx.random.key(k)).astype(dtype) for k in (1, 2))
        norm = nn.LayerNorm(shape[-1], eps=1e-3)
        norm.weight = mx.random.normal((shape[-1],), key=mx.random.key(3)).astype(dtype)
        norm.bias = mx.random.normal((shape[-1],), key=mx.random.key(4)).astype(dtype)
        found = add_norm(x, y, norm)
        assert found.dtype == dtype
        # A few roundings of values up to 10.
        assert mx.allclose(found, norm(x + y), rtol=0, atol=1e-5 if dtype == mx.float32 else 2e-2)


def test_fuse(compiler: bool) -> None:
    @fuse
    def function(x: mx.array, y: mx.array) -> mx.array:
        """Doc."""
        return mx.sigmoid(x) * y

    assert function.__doc__ == "Doc."
    for shape in ((4,), (2, 3), (5, 3)):
        x, y = mx.random.normal(shape), mx.random.normal(shape)
        assert mx.allclose(function(x, y), mx.sigmoid(x) * y, atol=1e-6)


def test_a_broken_compiler_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: object, **options: object) -> object:
        def call(*arrays: mx.array) -> mx.array:
            raise RuntimeError("[Compile::eval_cpu] Failed to compile function")

        return call

    fused.compiler_works.cache_clear()
    monkeypatch.setattr(mx, "compile", broken)
    try:
        assert not fused.compiler_works()
    finally:
        fused.compiler_works.cache_clear()
