"""PyTorch modules as ONNX files that are small and that onnxruntime-web runs: float16 weights where nothing is lost by it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

OPSET = 21
SMALL = 256  # values; a cast would take more room than the half of them


def to_onnx(
    module: nn.Module,
    examples: Sequence[Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]] | None = None,
) -> bytes:
    """The network as an ONNX file.

    Args:
        examples: tensors of the shapes that it takes, in the order of ``inputs``.
        dynamic: ``{input: {dimension: name}}``, the dimensions that may differ from the examples'.
    """
    options: dict[str, Any] = {}
    if dynamic:
        options["dynamic_shapes"] = tuple(
            {k: torch.export.Dim.DYNAMIC for k in dynamic.get(name, {})} for name in inputs
        )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            tuple(examples),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            **options,
        )
    assert program is not None
    return plain(program.model_proto).SerializeToString()


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large weights in float16, where that is exact, squares as products, and without what the exporter notes for debugging."""
    halved = []
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype != np.float32 or values.size <= SMALL:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = weights.name
            weights.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            halved.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    twos = {
        each.name for each in model.graph.initializer if (value := numpy_helper.to_array(each)).size == 1 and value == 2
    }
    for node in model.graph.node:  # the runtime takes a power for what it is, which is slow
        if node.op_type == "Pow" and node.input[1] in twos:
            node.op_type, node.input[1] = "Mul", node.input[0]
    nodes = [*halved, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("name")
    del model.graph.value_info[:]
    return model
