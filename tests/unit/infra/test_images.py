"""The images: pinned, locked, slim, not root, and with a command that exists."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.cli_commands import find_command
from tests.dockerfiles import FILES, ROOT, Instruction, Stage, inherited, parse

PARSED = {name: parse(path.read_text()) for name, path in FILES.items()}
IMAGES = {
    "proxy": "serving",
    "inference": "serving",
    "training": "jobs",
    "features": "jobs",
    "mlflow": "mlflow",
}
SERVICES = {"proxy": "/healthz", "inference": "/healthz", "mlflow": "/health"}
INSTALLS = re.compile(r"(?:-m pip|uv pip) install (?:(?! && ).)*")


def stage_of(image: str) -> tuple[Stage, Mapping[str, Stage]]:
    stages = PARSED[IMAGES[image]][1]
    return stages[image], stages


def whole(image: str) -> list[Instruction]:
    return inherited(*stage_of(image))


def last(image: str, kind: str) -> Instruction:
    return [one for one in whole(image) if one.kind == kind][-1]


def every_instruction(kind: str) -> list[Instruction]:
    return [one for _, stages in PARSED.values() for s in stages.values() for one in s.all(kind)]


def test_every_image_that_is_used_is_a_stage() -> None:
    used = {
        name
        for folder in ("infra/stacks", "pipelines/training")
        for path in (ROOT / folder).glob("*.py")
        for name in re.findall(r"\.image\(\"([a-z]+)\"\)", path.read_text())
    }
    assert used
    assert used <= set(IMAGES)


@pytest.mark.parametrize("name", FILES)
def test_the_base_is_one_release_that_can_be_replaced_by_a_mirrors(name: str) -> None:
    arguments, stages = PARSED[name]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", arguments["BASE"])
    assert {s.base for s in stages.values()} <= {"${BASE}"} | set(stages)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_that_is_not_root(image: str) -> None:
    user = last(image, "USER").text
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert not [one for one in stage_of(image)[0].instructions if one.kind == "RUN"][1:]


@pytest.mark.parametrize("image", SERVICES)
def test_a_service_is_asked_whether_it_lives(image: str) -> None:
    health, port = last(image, "HEALTHCHECK"), last(image, "EXPOSE").text
    assert f"http://127.0.0.1:{port}{SERVICES[image]}'" in health.text
    assert last(image, "CMD").words[-2:] == ["--port", port]


@pytest.mark.parametrize("image", ["training", "features"])
def test_a_job_says_that_nobody_asks(image: str) -> None:
    assert last(image, "HEALTHCHECK").text == "NONE"


@pytest.mark.parametrize("image", IMAGES)
def test_a_command_of_ours_takes_its_arguments(image: str) -> None:
    words = last(image, "CMD").words
    if words[0] == "mlops":
        command, arguments = find_command(words[1:])
        if arguments != ["--help"]:
            command.make_context(command.name, arguments)
    elif image == "mlflow":
        assert words[:2] == ["python", "/app/mlflow_server.py"]
    else:
        assert words[:2] == ["python3", "-m"]


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_reaches_the_build(name: str) -> None:
    path = FILES[name]
    ignore = path.with_name(path.name + ".dockerignore").read_text().split()
    assert ignore[0] == "*"
    copies = [one for stage in PARSED[name][1].values() for one in stage.all("COPY")]
    sources = [s for one in copies if not one.option("from") for s in one.words[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in ignore


def test_a_build_sees_no_secret_and_no_state() -> None:
    for path in FILES.values():
        allowed = re.findall(
            r"^!(.+)$", path.with_name(path.name + ".dockerignore").read_text(), re.M
        )
        assert not {name for name in allowed if name.startswith(".")}


@pytest.mark.parametrize("run", every_instruction("RUN"), ids=lambda one: one.text[:60])
def test_what_is_installed_is_locked(run: Instruction) -> None:
    for install in INSTALLS.findall(run.text):
        locked = "--require-hashes" in install and re.search(r"-r requirements/\w+\.txt", install)
        ours = "--no-deps" in install and "--no-index" in install and "dist/" in install
        assert locked or ours, install


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_takes_from_its_build_the_environment_alone(image: str) -> None:
    copies = [one for one in whole(image) if one.kind == "COPY"]
    assert [one.words for one in copies] == [["/app", "/app"]]  # a second one would double it
    assert all(one.option("from") for one in copies)
    tools = [one.text for one in whole(image) if one.kind == "RUN" and "gcc" in one.text]
    assert not tools


@pytest.mark.parametrize("name", FILES)
def test_an_index_is_named_by_a_secret_only(name: str) -> None:
    text = FILES[name].read_text()
    assert not re.search(r"(--index-url|--extra-index-url|https?://(?!127\.0\.0\.1))", text)
    fetching = [r for r in every_instruction("RUN") if "--require-hashes" in r.text]
    named = 'export PIP_INDEX_URL="$index" UV_INDEX_URL="$index"'
    assert all(run.option("mount") == "type=secret,id=index" for run in fetching)
    assert all(named in run.text.partition("--require-hashes")[0] for run in fetching)


@pytest.mark.parametrize("name", FILES)
def test_a_build_asks_no_registry_but_the_bases(name: str) -> None:
    assert "syntax=" not in FILES[name].read_text()


@pytest.mark.parametrize("image", IMAGES)
def test_the_bases_own_installer_is_removed(image: str) -> None:
    removed = [one.text for one in whole(image) if one.kind == "RUN" and "rm -rf" in one.text]
    for place in ("/usr/local/bin/pip*", "python3.*/ensurepip", "python3.*/site-packages"):
        assert any(place in text for text in removed)


@pytest.mark.parametrize("name", ["serving", "mlflow"])
def test_services_take_wheels_only_and_no_pipelines(name: str) -> None:
    build = PARSED[name][1]["build"]
    assert any("--only-binary :all:" in run.text for run in build.all("RUN"))
    assert not any("pipelines" in copy.text for copy in build.all("COPY"))


def test_serving_installs_neither_sagemaker_nor_mlflow() -> None:
    lock = (ROOT / "requirements/serving.txt").read_text()
    assert not re.search(r"^(sagemaker|mlflow|stepfunctions|moto|ministack)\b", lock, re.M)
