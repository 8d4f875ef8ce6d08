"""Parameters out of a file: all of them, of the right shape, numbers, and quantised or not."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_speak.convert.folder import save_model

from mlx_speak.errors import ModelFormatError
from mlx_speak.nn.weights import load_weights


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 4)
        self.second = nn.Linear(64, 4)


def parameters() -> dict[str, mx.array]:
    layers = {"first": (4, 64), "second": (4, 64)}
    weights = {f"{name}.weight": mx.random.normal(shape) for name, shape in layers.items()}
    return weights | {f"{name}.bias": mx.zeros(4) for name in layers}


def test_weights_are_loaded_strictly(tmp_path: Path) -> None:
    weights = parameters()
    cases = {
        "Missing 1 parameters": {k: v for k, v in weights.items() if k != "first.bias"},
        "Received 1 parameters not in model": {**weights, "third.bias": mx.zeros(4)},
        "Expected shape": {**weights, "first.bias": mx.zeros(5)},
    }
    for message, wrong in cases.items():
        save_model(tmp_path, {"model_type": "kokoro"}, wrong)
        with pytest.raises(ModelFormatError, match=message):
            load_weights(Pair(), tmp_path)
    save_model(tmp_path, {"model_type": "kokoro"}, weights)
    model = Pair()
    load_weights(model, tmp_path)
    assert mx.array_equal(model.first.weight, weights["first.weight"])
    assert not model.training


@pytest.mark.parametrize("data", [b"", b"\x10" + bytes(7) + b"garbage" * 9, b"\xff" * 64, None])
def test_damaged_weights(tmp_path: Path, data: bytes | None) -> None:
    save_model(tmp_path, {"model_type": "kokoro"}, parameters())
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if data is None else data)
    with pytest.raises(ModelFormatError, match=r"model\.safetensors cannot be loaded"):
        load_weights(Pair(), tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["first.weight", "second.bias"])
def test_weights_that_are_no_numbers(tmp_path: Path, name: str, value: float) -> None:
    weights = parameters()
    array = np.array(weights[name])
    array.flat[-1] = value
    save_model(tmp_path, {"model_type": "kokoro"}, weights | {name: array})
    with pytest.raises(ModelFormatError, match=rf"{name} holds a NaN or an infinity"):
        load_weights(Pair(), tmp_path)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_the_largest_weights_are_numbers_still(tmp_path: Path, dtype: mx.Dtype) -> None:
    largest = mx.full((4, 64), mx.finfo(dtype).max, dtype)
    save_model(tmp_path, {"model_type": "kokoro"}, parameters() | {"first.weight": largest})
    load_weights(Pair(), tmp_path)


def test_lazy_weights_stay_in_the_file(tmp_path: Path) -> None:
    """What is not evaluated takes no memory; the file holds a NaN, which nobody has looked at."""
    nan = mx.full((4, 64), mx.nan)
    save_model(tmp_path, {"model_type": "kokoro"}, parameters() | {"first.weight": nan})
    model = Pair()
    before = mx.get_active_memory()
    load_weights(model, tmp_path, lazy=True)
    assert mx.get_active_memory() <= before
    assert np.isnan(np.array(model.first.weight)).all()


def test_layers_with_scales_are_quantised_and_no_others(tmp_path: Path) -> None:
    model = Pair()
    model.second = nn.QuantizedLinear.from_linear(model.second, 64, 8)
    weights = dict(nn.utils.tree_flatten(model.parameters()))
    config = {"model_type": "kokoro", "quantization": {"group_size": 64, "bits": 8}}
    save_model(tmp_path, config, weights)
    loaded = Pair()
    load_weights(loaded, tmp_path)
    assert type(loaded.first) is nn.Linear
    assert type(loaded.second) is nn.QuantizedLinear
    x = mx.random.normal((3, 64))
    assert mx.array_equal(loaded.second(x), model.second(x))
