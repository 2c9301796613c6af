"""Small graphs of one known score, and of everything that can be wrong with one on trial."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from mlops.deploying.figures import LEVELS
from mlops.manifest import Distribution
from tests.serving_examples import COLUMNS, INSTANCE, OPSET

SIDE = 512
"""Of the matrix that a slow graph multiplies by."""


def score_of(amount: float) -> float:
    return float(1 / (1 + np.exp(-0.02 * (amount - 50))))


def instance(chance: random.Random) -> dict[str, Any]:
    """A payment at a terminal that nobody has seen, which the model has a default for."""
    terminal, amount = f"t{chance.randrange(10**6)}", chance.uniform(0, 100)
    return INSTANCE | {"terminal_id": terminal, "amount": amount}


def reference() -> dict[str, Distribution]:
    """Of the scores of such payments."""
    scores = [score_of(amount) for amount in np.linspace(0, 100, 2001)]
    quantiles = tuple(float(value) for value in np.quantile(scores, LEVELS))
    spread = float(np.mean(scores)), float(np.std(scores))
    return {"score": Distribution(mean=spread[0], std=spread[1], missing=0, quantiles=quantiles)}


def well() -> bytes:
    return _graph(lambda amount, made: amount)


def odd() -> bytes:
    """Scores everything low, which its reference does not."""
    return _graph(lambda amount, made: made("Sub", amount, made.constant(200.0)))


def failing() -> bytes:
    """Gives no number for amounts above 1."""
    return _graph(lambda amount, made: made("Sqrt", made("Sub", made.constant(1.0), amount)))


def slowed(graph: bytes, rounds: int) -> bytes:
    """A graph that multiplies large matrices before it says what it said."""
    import onnx
    from onnx import helper

    model = onnx.load_from_string(graph)
    asked, answer = model.graph.input[0], model.graph.output[-1]
    width = asked.type.tensor_type.shape.dim[1].dim_value
    made = _Nodes("slow")
    wide = made("MatMul", asked.name, made.constant(np.full((width, SIDE), 1e-9)))
    nothing = made("MatMul", _worked(wide, rounds, made), made.constant(np.zeros((SIDE, 1))))
    for node in model.graph.node:
        node.output[:] = ["said" if name == answer.name else name for name in node.output]
    made.nodes.append(helper.make_node("Add", ["said", nothing], [answer.name]))
    model.graph.node.extend(made.nodes)
    model.graph.initializer.extend(made.weights)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _worked(wide: str, rounds: int, made: _Nodes) -> str:
    weight = made.constant(np.full((SIDE, SIDE), 1 / SIDE, np.float32))
    for _ in range(rounds):
        wide = made("MatMul", wide, weight)
    return wide


class _Nodes:
    """Nodes of a graph, each named by its number."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{self._prefix}n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        from onnx import numpy_helper

        name = f"{self._prefix}w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name


def _graph(twist: Callable[[str, _Nodes], str]) -> bytes:
    from onnx import TensorProto, helper

    made = _Nodes()
    # The columns' order is the manifest's: the amount stands first.
    first = made.constant(np.eye(len(COLUMNS), 1, dtype=np.float32))
    amount = twist(made("MatMul", "X", first), made)
    scaled = made("Mul", made("Sub", amount, made.constant(50.0)), made.constant(0.02))
    yes = made("Sigmoid", scaled)
    no = made("Sub", made.constant(1.0), yes)
    made.nodes.append(helper.make_node("Concat", [no, yes], ["probabilities"], axis=1))
    rows = helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, len(COLUMNS)])
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph(made.nodes, "trial", [rows], [answer], made.weights)
    imports = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    return bytes(model.SerializeToString())
