"""The model as an ONNX graph: made from the fitted one, and scored with ONNX Runtime."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipelines.training.dataset import Matrix
from pipelines.training.native import Classifier

OPSET = 17
INPUT = "inputs"
OUTPUT = "probabilities"
_BATCH = 65_536


@dataclass(frozen=True)
class Graph:
    """An ONNX graph: float32 [n, inputs] in, probabilities of (no, yes) out."""

    body: bytes
    input: str = INPUT
    output: str = OUTPUT
    opset: int = OPSET

    def scores(self, matrix: Matrix) -> NDArray[np.float64]:
        """Probability of yes, n values."""
        session = onnxruntime.InferenceSession(self.body, providers=["CPUExecutionProvider"])
        parts = [
            session.run([self.output], {self.input: matrix[start : start + _BATCH]})[0][:, 1]
            for start in range(0, len(matrix), _BATCH)
        ]
        return np.concatenate(parts or [np.empty(0)]).astype(np.float64)


def to_graph(model: Classifier, *, width: int, name: str) -> Graph:
    """Convert a fitted classifier of `width` inputs; the same model gives the same bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from skl2onnx import to_onnx  # noqa: PLC0415  # a second to load, needed by export only
        from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

        if type(model).__module__.startswith("lightgbm."):
            from pipelines.training.lightgbm import convertible  # noqa: PLC0415  # as above

            model = convertible(model)
        proto = to_onnx(
            model,
            name=name,
            initial_types=[(INPUT, FloatTensorType([None, width]))],
            options={"zipmap": False},
            target_opset={"": OPSET, "ai.onnx.ml": 3},
        )
    return Graph(proto.SerializeToString())
