"""Make the small graphs of PyTorch and TensorFlow, which stay out of the locks.

python tests/graphs/make.py torch FOLDER        needs: torch onnxscript
python tests/graphs/make.py tensorflow FOLDER   needs: tensorflow-cpu tf2onnx
Each writes NAME.onnx and NAME.json, which holds rows and what the framework says of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HIDDEN = 5, 8
OPSET = 18


def weights() -> tuple[Any, Any, Any, Any]:
    """Of two layers; the numbers are arbitrary, and the same for both frameworks."""
    rng = np.random.default_rng(11)
    shapes = ((WIDTH, HIDDEN), (HIDDEN,), (HIDDEN, 1), (1,))
    first, first_bias, second, second_bias = (
        rng.normal(size=shape).astype(np.float32) for shape in shapes
    )
    return first, first_bias, second, second_bias


def rows() -> Any:
    return np.random.default_rng(12).normal(size=(20, WIDTH)).astype(np.float32)


def make_torch(folder: Path) -> None:
    """A classifier of two classes: softmax, [rows, 2]."""
    import torch

    first, first_bias, second, second_bias = map(torch.from_numpy, weights())

    class Classifier(torch.nn.Module):
        def forward(self, matrix: Any) -> Any:
            hidden = torch.relu(matrix @ first + first_bias)
            logit = hidden @ second + second_bias
            return torch.softmax(torch.cat([torch.zeros_like(logit), logit], dim=1), dim=1)

    model = Classifier().eval()
    torch.onnx.export(
        model,
        (torch.from_numpy(rows()),),
        folder / "torch.onnx",
        input_names=["X"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("rows")},),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
    )
    write(folder, "torch", model(torch.from_numpy(rows())).detach().numpy())


def make_tensorflow(folder: Path) -> None:
    """The probability of yes: sigmoid, [rows, 1]."""
    import tensorflow as tf
    import tf2onnx

    first, first_bias, second, second_bias = weights()

    @tf.function(input_signature=[tf.TensorSpec([None, WIDTH], tf.float32, name="X")])
    def classify(matrix: Any) -> Any:
        hidden = tf.nn.relu(tf.matmul(matrix, first) + first_bias)
        return tf.identity(tf.sigmoid(tf.matmul(hidden, second) + second_bias), "probability")

    graph, _ = tf2onnx.convert.from_function(
        classify, input_signature=classify.input_signature, opset=OPSET
    )
    graph.graph.output[0].name, before = "probability", graph.graph.output[0].name
    for node in graph.graph.node:
        node.output[:] = ["probability" if name == before else name for name in node.output]
    (folder / "tensorflow.onnx").write_bytes(graph.SerializeToString())
    write(folder, "tensorflow", classify(rows()).numpy())


def write(folder: Path, name: str, found: Any) -> None:
    """Without the traces of whose machine made it."""
    import onnx

    path = folder / f"{name}.onnx"
    graph = onnx.load(path)
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    onnx.save(graph, path)
    said = {"rows": rows().tolist(), "answer": found.tolist()}
    (folder / f"{name}.json").write_text(json.dumps(said) + "\n", encoding="utf-8")


MAKERS = {"torch": make_torch, "tensorflow": make_tensorflow}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]))
