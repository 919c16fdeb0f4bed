"""The ONNX graph of all-MiniLM-L6-v2, built from its weights without PyTorch.

The network is a BERT encoder: six layers, twelve heads, 384 numbers per token. The graph maps
``input_ids`` and ``attention_mask``, both ``(batch, length)`` int64, to ``token_vectors``,
``(batch, length, 384)`` float32; pooling is left to the caller, who may want the tokens.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LAYERS = 6
HEADS = 12
HEAD_DIM = 32
DIM = HEADS * HEAD_DIM
LAYER_NORM_EPSILON = 1e-12
OPSET = 20  # the first with a Gelu of its own
IR_VERSION = 9

Weights = Mapping[str, NDArray[np.float32]]


def build_graph(weights: Weights) -> onnx.ModelProto:
    """The whole encoder as a checked ONNX model."""
    encoder = _EncoderGraph(weights)
    encoder.build()
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("token_vectors", TensorProto.FLOAT, ["batch", "length", DIM])
    graph = helper.make_graph(encoder.nodes, "minilm", inputs, [output], list(encoder.constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


class _EncoderGraph:
    """Collects nodes and constants. Methods take and return names of values."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def build(self) -> None:
        """From ``input_ids`` and ``attention_mask`` to ``token_vectors``."""
        hidden = self._embeddings()
        bias = self._padding_bias()
        for layer in range(LAYERS):
            hidden = self._layer(hidden, bias, f"encoder.layer.{layer}")
        self.nodes.append(helper.make_node("Identity", [hidden], ["token_vectors"]))

    def _embeddings(self) -> str:
        """Word, position and segment embeddings, added and normalised. Every token is of segment 0."""
        places = self._weights["embeddings.position_embeddings.weight"]
        segment = self._weights["embeddings.token_type_embeddings.weight"][0]
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        length = self._op("Shape", "input_ids", start=1, end=2)
        start = self._constant("start", np.zeros(1, np.int64))
        positions = self._op("Slice", self._constant("positions", places + segment), start, length)
        return self._layer_norm(self._op("Add", words, positions), "embeddings.LayerNorm")

    def _padding_bias(self) -> str:
        """``(batch, 1, 1, length)``: 0 where a token stands, far below 0 where padding does."""
        token = self._op("Cast", "attention_mask", to=TensorProto.FLOAT)
        padding = self._op("Sub", self._constant("one", np.array(1, np.float32)), token)
        bias = self._op("Mul", padding, self._constant("hidden_from_softmax", np.array(-1e9, np.float32)))
        return self._op("Unsqueeze", bias, self._constant("head_and_query_axes", np.array([1, 2], np.int64)))

    def _layer(self, hidden: str, bias: str, name: str) -> str:
        attended = self._linear(self._attention(hidden, bias, name), f"{name}.attention.output.dense")
        hidden = self._layer_norm(self._op("Add", attended, hidden), f"{name}.attention.output.LayerNorm")
        inner = self._op("Gelu", self._linear(hidden, f"{name}.intermediate.dense"))
        outer = self._linear(inner, f"{name}.output.dense")
        return self._layer_norm(self._op("Add", outer, hidden), f"{name}.output.LayerNorm")

    def _attention(self, hidden: str, bias: str, name: str) -> str:
        query = self._heads(hidden, f"{name}.attention.self.query", [0, 2, 1, 3])
        key = self._heads(hidden, f"{name}.attention.self.key", [0, 2, 3, 1])  # already transposed
        value = self._heads(hidden, f"{name}.attention.self.value", [0, 2, 1, 3])
        scale = self._constant("scale", np.array(HEAD_DIM**0.5, np.float32))
        logits = self._op("Add", self._op("Div", self._op("MatMul", query, key), scale), bias)
        mixed = self._op("MatMul", self._op("Softmax", logits, axis=-1), value)
        merge = self._constant("merge_heads", np.array([0, 0, DIM], np.int64))
        return self._op("Reshape", self._op("Transpose", mixed, perm=[0, 2, 1, 3]), merge)

    def _heads(self, hidden: str, name: str, order: list[int]) -> str:
        """A projection split into heads: ``(batch, length, head, 32)`` with its axes in ``order``."""
        split = self._constant("split_heads", np.array([0, 0, HEADS, HEAD_DIM], np.int64))
        return self._op("Transpose", self._op("Reshape", self._linear(hidden, name), split), perm=order)

    def _linear(self, value: str, name: str) -> str:
        weight = self._constant(f"{name}.weight", self._weights[f"{name}.weight"].T)
        return self._op("Add", self._op("MatMul", value, weight), self._weight(f"{name}.bias"))

    def _layer_norm(self, value: str, name: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", value, scale, shift, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def _op(self, kind: str, *inputs: str, **attributes: object) -> str:
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output
