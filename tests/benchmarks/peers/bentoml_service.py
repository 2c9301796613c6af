"""BentoML with a service of its own for an ONNX file, as its documentation shows it."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, traffic={"timeout": 10})
class OnnxService:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["ONNX_FILE"], options, providers=["CPUExecutionProvider"]
        )

    @bentoml.api
    def infer(self, rows: np.ndarray) -> np.ndarray:
        (found,) = self.session.run(["probabilities"], {"X": rows.astype(np.float32)})
        return found
