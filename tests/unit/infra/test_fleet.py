"""A hosted model's archive holds plain files, and writes nowhere else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from infra.local.sagemaker.fleet import _extract


def archive(path: Path, member: tarfile.TarInfo) -> tarfile.TarFile:
    with tarfile.open(path, "w") as tar:
        for info in (tarfile.TarInfo("code/manifest.json"), member):
            info.size = 2 if info.isfile() else 0
            tar.addfile(info, io.BytesIO(b"{}"))
    return tarfile.open(path)


def linked(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def test_plain_files_are_unpacked(tmp_path: Path) -> None:
    with archive(tmp_path / "a.tar", tarfile.TarInfo("model.onnx")) as tar:
        _extract(tar, tmp_path / "model")
    assert (tmp_path / "model" / "code" / "manifest.json").read_text() == "{}"


@pytest.mark.parametrize(
    "member",
    [tarfile.TarInfo("../evil"), tarfile.TarInfo("/tmp/evil"), linked("evil", "/etc/passwd")],
    ids=["above", "absolute", "link"],
)
def test_anything_else_is_refused_before_a_file_is_written(
    tmp_path: Path, member: tarfile.TarInfo
) -> None:
    with (
        archive(tmp_path / "a.tar", member) as tar,
        pytest.raises(tarfile.TarError, match="evil is no plain file of the model"),
    ):
        _extract(tar, tmp_path / "model")
    assert not (tmp_path / "model").exists()
