"""Kokoro's int8 ONNX export, dequantized to the reference's parameters.

`kokoro-v1.0.int8.onnx` was made by ONNX Runtime's dynamic quantizer. Its nodes kept the path of
the torch module they came from. Equal zero points were merged by a graph optimiser, so scales
and zero points are taken from the inputs of a node, never by name.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlx_speak.errors import ModelFormatError

from .onnx_file import Graph, Node, read_onnx

Weights = dict[str, np.ndarray]


def read_kokoro_onnx(path: Path) -> Weights:
    """The parameters by the names of `kokoro.model.KModel`, in torch's axes, weight norm folded.

    Raises:
        ModelFormatError: the file is damaged or another export.
    """
    graph = read_onnx(path)
    try:
        return _parameters(graph)
    except (KeyError, IndexError, StopIteration, ValueError) as error:
        raise ModelFormatError(f"{path} is not Kokoro's int8 export: {error!r}") from error


def _parameters(graph: Graph) -> Weights:
    constants = graph.initializers
    producer = {output: node for node in graph.nodes for output in node.outputs}
    weights: Weights = {}
    seen: set[str] = set()
    for node in graph.nodes:
        if node.op_type in ("ConvInteger", "MatMulInteger"):
            key, quantized = _torch_path(node) + ".weight", node.inputs[1]
            if quantized in seen:  # ALBERT's one layer comes by twelve times
                continue
            seen.add(quantized)
            scale = quantized.removesuffix("_quantized") + "_scale"
            weight = _dequantize(constants[quantized], constants[scale], constants[node.inputs[3]])
            # Linear layers are stored (in, out).
            weights[key] = weight if node.op_type == "ConvInteger" else weight.T
        elif node.op_type in ("Conv", "ConvTranspose") and "/istft/" not in node.name:
            for kind, name in zip(("weight", "bias"), node.inputs[1:], strict=False):
                weights[f"{_torch_path(node)}.{kind}"] = constants[name]
        elif node.op_type == "DynamicQuantizeLSTM":
            weights.update(_lstm(node, constants))
        elif node.op_type == "DequantizeLinear":  # of the rows that an embedding looked up
            lookup = producer[node.inputs[0]]
            table, scale, zero = lookup.inputs[0], *node.inputs[1:3]
            weight = _dequantize(constants[table], constants[scale], constants[zero])
            weights[f"{_torch_path(lookup)}.weight"] = weight
        elif node.name.endswith("m_source/l_linear/MatMul"):
            weights[f"{_torch_path(node)}.weight"] = constants[node.inputs[1]].T
    # Biases, norms and alphas are not quantized and kept their names.
    for name, array in constants.items():
        match = re.match(r"(?:decoder\.(?=decoder\.)|encoder\.)(.*)", name)
        if (
            match
            and array.dtype == np.float32
            and not name.endswith(("_scale", "_zero_point"))
            and ".stft." not in name
        ):
            weights[match[1]] = array
    return {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}


def _torch_path(node: Node) -> str:
    """'/encoder/F0.0/conv1/Conv_quant' → 'predictor.F0.0.conv1'."""
    path: list[str] = []
    for part in node.name.strip("/").split("/")[:-1]:
        if path and part.startswith(path[-1] + "."):  # 'cnn.0' then 'cnn.0.0': the same module
            path[-1] = part
        else:
            path.append(part)
    name = ".".join(path[1:])  # without the exporter's wrapper, 'encoder' or 'decoder'
    if re.match(r"(F0|N)(\.|_proj)|shared$", name):  # called from outside their module
        name = f"predictor.{name}"
    return name


def _dequantize(values: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    return (values.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale


def _lstm(node: Node, constants: dict[str, np.ndarray]) -> Weights:
    """ONNX Runtime's int8 LSTM: (direction, in, 4 · hidden), gates in the order i, o, f, c."""
    w, r, b = (constants[node.inputs[i]] for i in (1, 2, 3))
    w_scale, w_zero, r_scale, r_zero = (
        constants[node.inputs[i]][:, None, None] for i in (8, 9, 10, 11)
    )
    w, r = _dequantize(w, w_scale, w_zero), _dequantize(r, r_scale, r_zero)
    stem = _torch_path(node)
    weights: Weights = {}
    for direction, suffix in enumerate(("", "_reverse")):
        bias_ih, bias_hh = np.split(b[direction], 2)
        weights[f"{stem}.weight_ih_l0{suffix}"] = _torch_gates(w[direction].T)
        weights[f"{stem}.weight_hh_l0{suffix}"] = _torch_gates(r[direction].T)
        weights[f"{stem}.bias_ih_l0{suffix}"] = _torch_gates(bias_ih)
        weights[f"{stem}.bias_hh_l0{suffix}"] = _torch_gates(bias_hh)
    return weights


def _torch_gates(array: np.ndarray) -> np.ndarray:
    i, o, f, c = np.split(array, 4)
    return np.concatenate([i, f, c, o])
