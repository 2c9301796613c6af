"""Tensors as bytes behind the JSON of a request or an answer.

Source: extension_binary_data.md of https://github.com/triton-inference-server/server.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from serving.errors import InvalidRequest
from serving.tensors import Kind, Tensor

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header that says where the JSON ends."""
_LENGTH = struct.Struct("<I")


def from_bytes(raw: memoryview, kind: Kind, *, field: str) -> Tensor:
    """Little-endian elements; a text is its length in four bytes, then UTF-8.

    Returns one dimension. Raises InvalidRequest.
    """
    if kind.is_text:
        return np.array(list(_read_texts(raw, field)), dtype=np.object_)
    if len(raw) % kind.dtype.itemsize:
        raise InvalidRequest(f"'{field}' has half an element.", field=field)
    return np.frombuffer(raw, dtype=kind.dtype.newbyteorder("<"))


def _read_texts(raw: memoryview, field: str) -> Iterator[str]:
    at = 0
    while at < len(raw):
        if at + 4 > len(raw) or (end := at + 4 + _LENGTH.unpack_from(raw, at)[0]) > len(raw):
            raise InvalidRequest(f"'{field}' ends within a text.", field=field)
        yield decode_text(raw[at + 4 : end], field)
        at = end


def decode_text(raw: bytes | memoryview, field: str) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"'{field}' holds a text that is no UTF-8.", field=field) from exc


def to_bytes(tensor: Tensor, kind: Kind) -> bytes:
    """As `from_bytes` reads it."""
    if not kind.is_text:
        return np.ascontiguousarray(tensor, dtype=kind.dtype.newbyteorder("<")).tobytes()
    texts = [str(value).encode() for value in tensor.ravel()]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
