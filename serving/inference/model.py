"""A model version in memory: loaded from its files, checked against its manifest, warmed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from mlops.deployment import DeployedVersion
from mlops.errors import MlopsError, Refused
from mlops.manifest import MANIFEST, MODEL, Manifest, check_files, check_graph
from serving.manifests import verified_manifest

FloatMatrix = npt.NDArray[np.float32]

_FLOAT = "tensor(float)"
_WARM_ROWS = 64
_WARM_RUNS = 3


@dataclass(frozen=True)
class LoadedModel:
    """A version that is ready to score."""

    version: int
    manifest: Manifest
    session: Any
    seconds_per_row: float
    """Measured while warming, in the larger batch."""

    @property
    def width(self) -> int:
        return len(self.manifest.inputs)

    def predict(self, rows: FloatMatrix) -> FloatMatrix:
        """The probabilities of (no, yes), float32 [n, 2], of float32 [n, width]; blocking.

        Raises MlopsError when the graph fails on these rows.
        """
        try:
            (probabilities,) = self.session.run(
                [self.manifest.graph_output], {self.manifest.graph_input: rows}
            )
        except Exception as exc:  # ONNX Runtime has no common base for its errors
            raise MlopsError(
                f"Model '{self.manifest.model}' version {self.version} failed on {len(rows)} rows: "
                f"{_first_line(exc)}"
            ) from exc
        return np.asarray(probabilities, dtype=np.float32)


def load_model(
    deployed: DeployedVersion, files: Mapping[str, bytes], *, threads: int = 1
) -> LoadedModel:
    """Check, load and warm one version.

    files: manifest.json, model.onnx and what else the manifest lists, by name.
    Raises Refused or InputError naming what does not fit.
    """
    manifest = checked_manifest(deployed, files)
    session = _open_session(manifest, files[MODEL], threads)
    _check(manifest, session, files[MODEL])
    cold = LoadedModel(deployed.version, manifest, session, 0.0)
    return LoadedModel(deployed.version, manifest, session, _warm(cold))


def checked_manifest(deployed: DeployedVersion, files: Mapping[str, bytes]) -> Manifest:
    """The manifest that the deployment names, with its files unchanged."""
    if MANIFEST not in files or MODEL not in files:
        missing = MANIFEST if MANIFEST not in files else MODEL
        raise Refused(f"{deployed.model_prefix} has no {missing}. Register the version again.")
    manifest = verified_manifest(deployed, files[MANIFEST])
    check_files(manifest, files)
    return manifest


def _open_session(manifest: Manifest, graph: bytes, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime has no common base for its errors
        raise Refused(
            f"Model '{manifest.model}': ONNX Runtime {ort.__version__} cannot load {MODEL}: "
            f"{_first_line(exc)}. Export it again."
        ) from exc


def _check(manifest: Manifest, session: Any, graph: bytes) -> None:
    check_graph(
        manifest,
        inputs=_shapes(session.get_inputs()),
        outputs=_shapes(session.get_outputs()),
        opset=read_opset(graph),
    )
    wanted = {manifest.graph_input, manifest.graph_output}
    tensors = [*session.get_inputs(), *session.get_outputs()]
    wrong = [f"'{t.name}' is {t.type}" for t in tensors if t.name in wanted and t.type != _FLOAT]
    if wrong:
        raise Refused(
            f"Model '{manifest.model}': {', '.join(wrong)}, not {_FLOAT}. Export it as float32."
        )


def _shapes(tensors: Sequence[Any]) -> dict[str, list[int | None]]:
    return {t.name: [d if isinstance(d, int) else None for d in t.shape or []] for t in tensors}


def read_opset(graph: bytes) -> int:
    """The version of the default operator set that a graph imports. Raises Refused."""
    try:
        model = onnx.load_model_from_string(graph)
    except DecodeError as exc:
        raise Refused(f"{MODEL} is no ONNX graph: {exc}") from exc
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return int(max(versions, default=0))


def _warm(model: LoadedModel) -> float:
    """Run it small and large, check what comes out, return the seconds per row.

    Raises Refused when the output is not [rows, 2] or no number.
    """
    seconds = float("inf")
    for count in [1, *[_WARM_ROWS] * _WARM_RUNS]:
        rows = np.zeros((count, model.width), dtype=np.float32)
        started = time.perf_counter()
        out = model.predict(rows)
        seconds = min(seconds, (time.perf_counter() - started) / count)
        if out.shape != (count, 2) or not np.isfinite(out).all():
            raise Refused(
                f"Model '{model.manifest.model}': '{model.manifest.graph_output}' of {count} rows "
                f"of zeros is {list(out.shape)}, not finite [{count}, 2]. Export it again."
            )
    return seconds


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
