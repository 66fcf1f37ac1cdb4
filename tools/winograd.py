r"""3x3 convolutions with fewer multiplications, for networks whose weights do not change: Winograd's, of which onnxruntime-web has no kernel.

Four by four pixels of the output are computed at once from six by six of the input (Lavin and Gray 2016, arXiv:1509.09308),

.. math::

    Y = A^\top \left[ (G g G^\top) \odot (B^\top d B) \right] A,

with 36 products for each pair of channels instead of 144. The transform of the weights :math:`g` is folded when the network is opened, that of the
input :math:`d` is a convolution of each channel with a stride of 4, and the products, summed over the input's channels, are 36 matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

TILE, PATCH = 4, 6
B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=float,
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=float)
CHANNELS, SIDE = 64, 16
"""From how many channels and pixels on it is faster: with fewer, the transforms take longer than what the products save."""


def faster(network: bytes) -> bytes:
    """An ONNX file whose large 3x3 convolutions are Winograd's; others, and those whose weights are no constants, stay as they are."""
    model = onnx.load_model_from_string(network)
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = [*inferred.value_info, *inferred.input]
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    shapes |= {weights.name: list(weights.dims) for weights in graph.initializer}
    fixed = {weights.name for weights in graph.initializer}
    constants: dict[str, onnx.TensorProto] = {}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if all(name in fixed for name in node.input):
            fixed.update(node.output)
        if replaceable(node, shapes, fixed):
            nodes += replaced(node, shapes[node.input[0]], shapes[node.input[1]], constants)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants.values())
    return model.SerializeToString()


def replaceable(node: NodeProto, shapes: dict[str, list[int]], fixed: set[str]) -> bool:
    """Whether it is a convolution of the kind that this is for: square images, one side of zeros around, no bias."""
    if node.op_type != "Conv" or len(node.input) != 2 or node.input[1] not in fixed:
        return False
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    count, channels, height, width = shapes[node.input[0]]
    return (
        given.get("group", 1) == 1
        and shapes[node.input[1]][2:] == [3, 3]
        and list(given.get("pads", [])) == [1, 1, 1, 1]
        and set(given.get("strides", [1])) == set(given.get("dilations", [1])) == {1}
        and count == 1
        and min(channels, shapes[node.input[1]][0]) >= CHANNELS
        and height == width >= SIDE
        and height % TILE == 0
    )


def replaced(
    node: NodeProto, image: list[int], kernel: list[int], constants: dict[str, onnx.TensorProto]
) -> Iterator[NodeProto]:
    """The nodes that stand for a convolution of ``image`` ``[1, I, H, H]`` with ``kernel`` ``[O, I, 3, 3]``."""
    (x, weight), (y,) = node.input, node.output
    (_, inputs, side, _), outputs, tiles = image, kernel[0], image[2] // TILE
    own = f"winograd.{y}."

    def constant(name: str, value: NDArray[Any]) -> str:
        constants.setdefault(f"winograd.{name}", numpy_helper.from_array(value, f"winograd.{name}"))
        return f"winograd.{name}"

    def shape(*dims: int) -> str:
        return constant("shape." + ".".join(map(str, dims)), np.array(dims, np.int64))

    def both(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
        """It, along rows and columns."""
        return np.kron(matrix, matrix).astype(np.float32)

    points = PATCH * PATCH
    spread = constant("B", both(B).reshape(1, points, 1, PATCH, PATCH))
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Reshape", [weight, shape(outputs * inputs, 9)], "w", {}),
        ("MatMul", [own + "w", constant("G", both(G).T.copy())], "wG", {}),
        ("Transpose", [own + "wG"], "Gw", {"perm": [1, 0]}),
        ("Reshape", [own + "Gw", shape(points, outputs, inputs)], "U", {}),
        ("Expand", [spread, shape(inputs, points, 1, PATCH, PATCH)], "B", {}),
        ("Reshape", [own + "B", shape(inputs * points, 1, PATCH, PATCH)], "kernels", {}),
        (
            "Conv",
            [x, own + "kernels"],
            "d",
            {
                "group": inputs,
                "strides": [TILE, TILE],
                "pads": [1, 1, 1, 1],
                "kernel_shape": [PATCH, PATCH],
            },
        ),
        ("Reshape", [own + "d", shape(inputs, points, tiles * tiles)], "dB", {}),
        ("Transpose", [own + "dB"], "V", {"perm": [1, 0, 2]}),
        ("MatMul", [own + "U", own + "V"], "UV", {}),
        ("Reshape", [own + "UV", shape(points, outputs * tiles * tiles)], "M", {}),
        ("MatMul", [constant("A", both(A)), own + "M"], "AM", {}),
        ("Reshape", [own + "AM", shape(TILE, TILE, outputs, tiles, tiles)], "tiles", {}),
        ("Transpose", [own + "tiles"], "rows", {"perm": [2, 3, 0, 4, 1]}),
    ]
    for kind, names, result, attributes in steps:
        yield helper.make_node(kind, names, [own + result], **attributes)
    yield helper.make_node("Reshape", [own + "rows", shape(1, outputs, side, side)], [y])
