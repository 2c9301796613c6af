"""Trino's functions of bytes: encodings, checksums, and numbers in bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
import zlib
from collections.abc import Callable

from infra.local.athena.formatting import invalid


def decoder(decode: Callable[[str], bytes], name: str) -> Callable[[str], bytes]:
    """A decoder whose complaint is Trino's."""

    def decoded(text: str) -> bytes:
        try:
            return decode(text)
        except (binascii.Error, ValueError) as exc:
            raise invalid(f"Failed to decode {name}: {text}") from exc

    return decoded


from_base32 = decoder(base64.b32decode, "base32")
from_base64url = decoder(base64.urlsafe_b64decode, "base64url")


def to_base32(data: bytes) -> str:
    return base64.b32encode(data).decode()


def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def keyed_hash(algorithm: str) -> Callable[[bytes, bytes], bytes]:
    """HMAC with one algorithm."""

    def hashed(data: bytes, key: bytes) -> bytes:
        return hmac.new(key, data, algorithm).digest()

    return hashed


def crc32(data: bytes) -> int:
    return zlib.crc32(data)


def packer(layout: str) -> Callable[[float], bytes]:
    """A number as big-endian bytes."""

    def packed(value: float) -> bytes:
        return struct.pack(layout, value)

    return packed


def unpacker(layout: str) -> Callable[[bytes], float]:
    """Big-endian bytes as a number."""
    size = struct.calcsize(layout)

    def unpacked(data: bytes) -> float:
        if len(data) != size:
            raise invalid(f"Expected {size} bytes of input, but got {len(data)}")
        value: float = struct.unpack(layout, data)[0]
        return value

    return unpacked


def reverse(data: bytes) -> bytes:
    return data[::-1]


def substring(data: bytes, start: int, length: int) -> bytes:
    """Bytes from a position that counts from 1, or from the end; a length below 0 means all."""
    begin = start - 1 if start > 0 else len(data) + start
    if start == 0 or begin < 0 or length == 0:
        return b""
    return data[begin:] if length < 0 else data[begin : begin + length]


def left_padded(data: bytes, size: int, padding: bytes) -> bytes:
    return _padding(data, size, padding) + data[:size]


def right_padded(data: bytes, size: int, padding: bytes) -> bytes:
    return data[:size] + _padding(data, size, padding)


def _padding(data: bytes, size: int, padding: bytes) -> bytes:
    if size < 0 or not padding:
        raise invalid("Padding bytes must not be empty, and the target length not negative")
    missing = max(size - len(data), 0)
    return (padding * (missing // len(padding) + 1))[:missing]


def utf8(data: bytes, replacement: str) -> str:
    """Text, with what is no UTF-8 replaced."""
    if len(replacement) > 1:
        raise invalid("Replacement character string must empty or a single character")
    decoded = data.decode(errors="surrogateescape")
    return "".join(replacement if "\udc80" <= c <= "\udcff" else c for c in decoded)


def shifted_left(value: int, shift: int, bits: int) -> int:
    _check_shift(shift)
    return _signed(value << shift, bits) if shift < bits else 0


def shifted_right(value: int, shift: int, bits: int) -> int:
    _check_shift(shift)
    return _signed((value % (1 << bits)) >> shift, bits) if shift < bits else 0


def shifted_right_signed(value: int, shift: int, bits: int) -> int:
    _check_shift(shift)
    return value >> min(shift, bits)


def _check_shift(shift: int) -> None:
    if shift < 0:
        raise invalid("Shift must not be negative")


def _signed(value: int, bits: int) -> int:
    inside = value % (1 << bits)
    return inside - (1 << bits) if inside >> (bits - 1) else inside


def bit_count(value: int, bits: int) -> int:
    if not 2 <= bits <= 64:
        raise invalid("Bits specified in bit_count must be between 2 and 64, got " + str(bits))
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise invalid(f"Number must be representable with the bits specified. {value} is not")
    return (value % (1 << bits)).bit_count()
