"""LightGBM's models, for skl2onnx; only this module and models of the kind import it."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
from lightgbm import Booster, LGBMClassifier
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

_THRESHOLDS = re.compile(r"^threshold=(.*)$", re.MULTILINE)
_SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)


def convertible(model: Any) -> Any:
    """The same model with thresholds that a graph's float32 can hold, and its converter known.

    A threshold between two neighbouring float32 values would be rounded to either of them; rounded
    down, every float32 value stays on its side.
    """
    update_registered_converter(
        LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        overwrite=True,
    )
    text = _THRESHOLDS.sub(_rounded_down, model.booster_.model_to_string())
    found = copy.copy(model)
    found._Booster = Booster(model_str=_SIZES.sub("", text))
    return found


def _rounded_down(line: re.Match[str]) -> str:
    values = np.array(line[1].split(), dtype=np.float64)
    nearest = values.astype(np.float32)
    down = np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return "threshold=" + " ".join(repr(float(value)) for value in down)
