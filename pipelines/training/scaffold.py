"""A new model's folder and test, from a template that runs as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from string import Template

from mlops.errors import InputError, Refused
from pipelines.training.workflows import list_workflows

_TEMPLATES = Path(__file__).with_name("templates")
_NAME = re.compile(r"[a-z][a-z0-9]{1,14}")
"""What fits, beside the step and the execution, into the 63 characters of a job's name."""
_STEPS = ("settings", "preprocess", "train", "evaluate")


@dataclass(frozen=True)
class Scaffold:
    """The files of a new model, by their place in the checkout."""

    name: str
    files: dict[Path, str]

    def write(self, root: Path) -> None:
        """Make every file; none of them exists when this begins.

        Raises Refused when one came up meanwhile, which it leaves as it is.
        """
        for place, text in self.files.items():
            path = root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(text)
            except FileExistsError as exc:
                raise Refused(f"{path} exists already; it was left as it is.") from exc


def new_model(name: str, root: Path) -> Scaffold:
    """What a model of this name begins with; writes nothing.

    root: a checkout. Raises InputError for a name that cannot be one, Refused where it is taken.
    """
    if not _NAME.fullmatch(name) or iskeyword(name):
        raise InputError(
            f"'{name}' cannot name a model: 2 to 15 small letters and digits, a letter first, and "
            "no word of Python's, for example 'churn'."
        )
    if not (root / "pipelines" / "training").is_dir():
        raise InputError(f"{root} is no checkout of this repository: it has no pipelines/training.")
    files = {Path("pipelines", name, "__init__.py"): ""}
    files |= {Path("pipelines", name, f"{step}.py"): _filled(step, name) for step in _STEPS}
    files[Path("pipelines", name, "approval.toml")] = _filled("approval", name)
    test = Path("tests", "unit", name, f"test_{name}.py")
    files[test] = _filled("test", name)
    taken = [
        folder for folder in (Path("pipelines", name), test.parent) if (root / folder).exists()
    ]
    if taken or name in list_workflows():
        there = ", ".join(map(str, taken)) or f"workflow '{name}'"
        raise Refused(f"There is {there} already. Choose another name; nothing was changed.")
    return Scaffold(name, files)


def _filled(template: str, name: str) -> str:
    text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(name=name)
