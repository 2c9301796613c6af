"""A model version in memory: loaded from its files, checked against its manifest, warmed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from mlops.deployment import DeployedVersion
from mlops.errors import MlopsError, Refused
from mlops.manifest import MANIFEST, MODEL, GraphTensor, Manifest, check_files, check_graph
from serving.manifests import verified_manifest
from serving.tensors import BY_ONNX, Tensor, Tensors, TensorSpec, count_rows

_WARM_ROWS = 64
_WARM_RUNS = 3


@dataclass(frozen=True)
class LoadedModel:
    """A version that is ready to score."""

    version: int
    manifest: Manifest
    session: Any
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    """Those that are tensors; a graph may have maps beside them."""
    size: int = 0
    """Bytes of the graph."""
    seconds_per_row: float = 0.0
    """Measured while warming, in the larger batch."""

    @property
    def answer(self) -> str:
        """The output that the manifest calls the model's answer."""
        return self.manifest.graph_output

    def run(self, tensors: Tensors, outputs: Sequence[str]) -> list[Tensor]:
        """The named outputs of tensors of equally many rows; blocking.

        Raises MlopsError when the graph fails on these rows.
        """
        try:
            found: list[Tensor] = self.session.run(outputs, tensors)
        except Exception as exc:  # ONNX Runtime has no common base for its errors
            raise MlopsError(
                f"Model '{self.manifest.model}' version {self.version} failed on "
                f"{count_rows(tensors)} rows: {_first_line(exc)}"
            ) from exc
        return found


def load_model(
    deployed: DeployedVersion, files: Mapping[str, bytes], *, threads: int = 1
) -> LoadedModel:
    """Check, load and warm one version.

    files: manifest.json, model.onnx and what else the manifest lists, by name.
    Raises Refused or InputError naming what does not fit.
    """
    manifest = checked_manifest(deployed, files)
    graph = files[MODEL]
    session = _open_session(manifest, graph, threads)
    check_graph(
        manifest,
        inputs=_tensors(session.get_inputs()),
        outputs=_tensors(session.get_outputs()),
        opset=read_opset(graph),
    )
    parts = (_specs(session.get_inputs()), _specs(session.get_outputs()), len(graph))
    cold = LoadedModel(deployed.version, manifest, session, *parts)
    return LoadedModel(deployed.version, manifest, session, *parts, seconds_per_row=_warm(cold))


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


def _tensors(found: Sequence[Any]) -> dict[str, GraphTensor]:
    return {t.name: GraphTensor(_name(t.type), tuple(map(_side, t.shape or ()))) for t in found}


def _name(onnx_type: str) -> str:
    return BY_ONNX[onnx_type].manifest if onnx_type in BY_ONNX else onnx_type


def _side(side: Any) -> int | None:
    """Open dimensions have a name, or none."""
    return side if isinstance(side, int) else None


def _specs(found: Sequence[Any]) -> dict[str, TensorSpec]:
    return {
        t.name: TensorSpec(
            t.name,
            BY_ONNX[t.type],
            (-1, *(-1 if _side(s) is None else s for s in (t.shape or ())[1:])),
        )
        for t in found
        if t.type in BY_ONNX
    }


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

    Raises Refused when the answer is not of the manifest's shape, or no number.
    """
    seconds = float("inf")
    for count in [1, *[_WARM_ROWS] * _WARM_RUNS]:
        rows = _blank(model, count)
        started = time.perf_counter()
        (out,) = model.run(rows, [model.answer])
        seconds = min(seconds, (time.perf_counter() - started) / count)
        _check_answer(model.manifest, out, count)
    return seconds


def _blank(model: LoadedModel, count: int) -> dict[str, Tensor]:
    """Zeros, and the inputs' defaults where they are texts: a category that the model knows."""
    texts = {c.name: c.default or "" for c in model.manifest.inputs if c.dtype == "String"}
    return {
        name: np.full((count, *spec.shape[1:]), texts[name], dtype=np.object_)
        if spec.kind.is_text
        else np.zeros((count, *spec.shape[1:]), dtype=spec.kind.dtype)
        for name, spec in model.inputs.items()
    }


def _check_answer(manifest: Manifest, out: Tensor, count: int) -> None:
    shapes = [(count,) if width is None else (count, width) for width in manifest.answer_widths]
    if out.shape not in shapes or not np.isfinite(out).all():
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise Refused(
            f"Model '{manifest.model}': '{manifest.graph_output}' of {count} rows of zeros is "
            f"{list(out.shape)}, not finite {wanted}. Export it again."
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
