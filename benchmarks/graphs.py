"""What a function would dispatch on a GPU, counted in the graph that MLX makes of it.

Nothing is computed and no GPU is needed: MLX hands over every primitive with its shapes
(`mx.export_function`), and a model whose weights are `hollow` takes no memory. What is counted:

  - views (a reshape, a transposition, a slice …) are free, unless they force a copy;
  - what MLX does in one kernel on a GPU alone (`mx.fast`, compiled activations) is one dispatch;
  - an update of a slice writes in place, and a concatenation copies each of its parts.

It is the least that MLX dispatches: a long reduction, or a product split along its inner axis, may
take two, and so does an update of an array that something in flight reads, which copies all of it.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map
from mlx_speak.kernels import dispatch

from mlx_speak import kernels
from mlx_speak.nn import conv

_FREE = {"StopGradient", "Depends"}
_VIEWS: dict[str, Callable[..., Any]] = {
    "Transpose": lambda x, shape, axes: x.transpose(axes),
    "Broadcast": lambda x, shape, *_: np.broadcast_to(x, shape),
    "ExpandDims": lambda x, shape, axes: np.expand_dims(x, tuple(axes)),
    "Squeeze": lambda x, shape, axes: x.reshape(shape),
    "Slice": lambda x, shape, start, stop, step: x[tuple(map(slice, start, stop, step))],
    "AsStrided": lambda x, shape, *_: _filled(shape),
}
_RESHAPES = {"Reshape", "Flatten", "Unflatten", "contiguous"}


@dataclass(frozen=True)
class Dispatch:
    """One kernel on the GPU."""

    name: str
    read: int
    """Bytes; of an array that stands for more than it holds, what it holds."""
    written: int
    """Bytes."""
    flops: int
    """Of products and convolutions; pointwise work costs its bytes."""


def dispatches(call: Callable[..., Any], *arrays: mx.array, on: str = "ops") -> list[Dispatch]:
    """What a call dispatches on a GPU.

    Args:
        call: a function of arrays, of which it returns some.
        on: "ops" for plain MLX, "metal" for the kernels of the house wherever they apply.
    """
    nodes: list[dict[str, Any]] = []

    def keep(node: dict[str, Any]) -> None:
        if node["type"] == "primitive":
            nodes.append(node)

    with _as_on_gpu(on):
        mx.export_function(keep, call, *arrays)
    return list(_count(nodes))


def hollow(model: nn.Module) -> nn.Module:
    """The model with zeros for weights, which take no memory: fit to be traced, not to be run."""

    def zeros(parameter: mx.array) -> mx.array:
        return mx.broadcast_to(mx.zeros((), parameter.dtype), parameter.shape)

    model.update(tree_map(zeros, model.parameters()))
    mx.eval(model.parameters())
    return model


def _count(nodes: Sequence[dict[str, Any]]) -> Iterator[Dispatch]:
    layouts: dict[str, Any] = {}  # a NumPy array of the same shape and strides for each of MLX's
    for node in nodes:
        name, arguments = _name(node), node["arguments"]
        inputs = {key: (shape, dtype) for key, shape, dtype in node["inputs"]}
        given = [layouts.setdefault(key, _filled(shape)) for key, (shape, _) in inputs.items()]
        for key, shape, _ in node["outputs"]:
            layouts[key] = _filled(shape)
        (first, *_) = node["outputs"]
        if name in _VIEWS:
            layouts[first[0]] = _VIEWS[name](given[0], first[1], *arguments)
            continue
        if name == "Split":
            indices, axis = arguments
            parts = np.split(given[0], list(indices), axis)
            layouts.update(zip((key for key, *_ in node["outputs"]), parts, strict=True))
            continue
        if name in _FREE:
            layouts.update(zip((key for key, *_ in node["outputs"]), given, strict=False))
            continue
        if name in _RESHAPES and (view := _reshaped(given[0], first[1], name)) is not None:
            layouts[first[0]] = view
            continue
        sizes = [
            dtype.size * _held(x) for x, (_, dtype) in zip(given, inputs.values(), strict=True)
        ]
        written = sum(math.prod(shape) * dtype.size for _, shape, dtype in node["outputs"])
        if name == "SliceUpdate":
            yield Dispatch(name, sizes[1], sizes[1], 0)
        elif name == "Concatenate":
            parts = (math.prod(shape) * dtype.size for _, shape, dtype in node["inputs"])
            yield from (Dispatch(name, size, size, 0) for size in parts)
        elif name == "Gather":
            yield Dispatch(name, min(sizes[0], written) + sum(sizes[1:]), written, 0)
        elif name == "embedding":
            (_, ids, _), *table = node["inputs"][:4]
            rows, looked_up = math.prod(ids), {key for key, *_ in table}
            yield Dispatch(
                name,
                sum(
                    size * rows // inputs[key][0][0] if key in looked_up else size
                    for key, size in zip(inputs, sizes, strict=True)
                ),
                written,
                0,
            )
        else:
            yield Dispatch(name, sum(sizes), written, _flops(node, name))


def _filled(shape: Sequence[int]) -> Any:
    """An array in rows, of whatever size, in one byte."""
    strides = np.cumprod([1, *(max(1, n) for n in reversed(shape[1:]))])[::-1] if shape else ()
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), shape, strides)


def _reshaped(x: Any, shape: Sequence[int], name: str) -> Any | None:
    """A view of another shape, or None if there is none without a copy."""
    if name == "contiguous":
        return x if x.flags.c_contiguous else None
    view = x.view()
    try:
        view.shape = tuple(shape)
    except AttributeError:
        return None
    return view


def _held(x: Any) -> int:
    """Numbers that lie in memory."""
    return math.prod(n for n, stride in zip(x.shape, x.strides, strict=True) if stride or n == 0)


def _name(node: dict[str, Any]) -> str:
    """Of the primitive, or of a custom kernel without what MLX puts round it."""
    if node["name"] != "CustomKernel":
        return node["name"]
    full = node["arguments"][0]
    ours = (kernel.name for operation in kernels.OPERATIONS for kernel in operation.kernels)
    known = sorted([*ours, *_STAND_INS], key=len, reverse=True)  # some end as others do
    return next(name for name in known if f"_{name}_" in full)


def _flops(node: dict[str, Any], name: str) -> int:
    shapes = [shape for _, shape, _ in node["inputs"]]
    size = math.prod(node["outputs"][0][1])
    if name in ("Matmul", "AddMM", "QuantizedMatmul", "projection", "quantized_projection"):
        return 2 * size * shapes[0][-1]
    if name == "Convolution":
        *_, input_dilation, _, _ = node["arguments"]
        return 2 * size * math.prod(shapes[1][1:]) // math.prod(input_dilation)
    if name == "query_attention":
        *_, keys, _, _ = shapes
        return size * (2 * shapes[0][-1] + 4 * keys[2])
    if name.endswith("attention"):
        return 4 * math.prod(shapes[0]) * shapes[1][-2]
    if name == "conv_transpose1d":
        return 2 * math.prod(shapes[0]) * math.prod(shapes[1][:2])
    if name == "istft":
        return 2 * math.prod(shapes[0]) * 2 * shapes[2][1]
    if name == "lstm":
        return 2 * 4 * size * shapes[1][-1]
    return 0


# By its name: the package has a function of the same.
_INSTANCE_NORM = importlib.import_module("mlx_speak.kernels.instance_norm")

# One kernel each on a GPU. On the CPU MLX makes several primitives of them, so while a graph is
# traced they are calls of a kernel that is named as they are and never runs.
_STAND_INS: dict[str, Any] = {
    "layer_norm": mx.fast,
    "rms_norm": mx.fast,
    "scaled_dot_product_attention": mx.fast,
    "dequantize": mx,
    "contiguous": mx,
    "gelu_approx": nn,
    "leaky_relu": nn,
    "add_bias_and_residual": conv,
    "styled_snake": _INSTANCE_NORM,
    "styled_leaky_relu": _INSTANCE_NORM,
}


def _stand_in(name: str) -> Callable[..., mx.array]:
    def call(x: mx.array, *others: Any, **options: Any) -> mx.array:
        values = [x, *others, *options.values()]
        arrays = [value for value in values if isinstance(value, mx.array)]
        shape, dtype = x.shape, x.dtype
        if name == "dequantize":
            scales = values[1]
            shape = (*scales.shape[:-1], scales.shape[-1] * options["group_size"])
            dtype = scales.dtype
        kernel: Any = mx.fast.metal_kernel(
            name=name,
            input_names=[f"x{i}" for i in range(len(arrays))],
            output_names=["out"],
            source="",
            ensure_row_contiguous=False,
        )
        (out,) = kernel(
            inputs=arrays,
            grid=(1, 1, 1),
            threadgroup=(1, 1, 1),
            output_shapes=[shape],
            output_dtypes=[dtype],
        )
        return out

    return call


@contextlib.contextmanager
def _as_on_gpu(on: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name, module in _STAND_INS.items():
            stack.enter_context(mock.patch.object(module, name, _stand_in(name)))
        stack.enter_context(mock.patch.object(dispatch, "gpu", return_value="metal"))
        stack.enter_context(mock.patch.object(mx, "default_device", return_value=mx.Device(mx.gpu)))
        stack.enter_context(kernels.use(on))
        yield
