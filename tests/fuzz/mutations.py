"""Damage to files: blind changes of bytes, and changes that keep the outer form (checksums, archives, JSON) intact."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

#: Values at the borders of integer types, as little-endian and big-endian bytes.
INTEGERS = [0, 1, -1, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1]
WORDS = [
    "", "nan", "inf", "-inf", "1e999", "-1", "0", "1e-300", "9" * 400, "0x10", "true", "null", "[]", "{}", "\0", "\ud800",
    "é" * 90,     "../../up", "/etc/passwd", "a,b", '"', "'", "\n", "%s%n", "{0}", "<script>", "-0", "1.5", "999999999", "𝟙",
]  # fmt: skip
Mutation = Callable[[bytes, random.Random], bytes]


def mutate(data: bytes, suffix: str, rng: random.Random, other: bytes) -> bytes:
    """One to four changes of a file's content.

    Args:
        data: the file.
        suffix: of its name; decides which structured changes there are.
        rng: source of all choices.
        other: another file, of which parts are spliced in.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        change = rng.choice(BYTES + FORMS.get(suffix, []) * 2)
        try:
            data = splice(data, rng, other) if change is splice else change(data, rng)
        except (ValueError, KeyError, IndexError, struct.error, zipfile.BadZipFile, UnicodeError):
            data = flip(data, rng)  # an earlier change has broken the form
    return data


def flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 4, 32))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    value = (rng.choice(INTEGERS) % (1 << 8 * width)).to_bytes(width, rng.choice(("little", "big")))
    place = rng.randrange(max(1, min(len(data), rng.choice((64, 512, len(data) + 1)))))
    return data[:place] + value + data[place + width :]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def remove(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 4, 64, 4096)) :]


def repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 16, 256, 4096))]
    return data[:start] + part * rng.choice((2, 3, 50)) + data[start:]


def insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 8, 128))) + data[place:]


def splice(data: bytes, rng: random.Random, other: bytes) -> bytes:
    start, place = rng.randrange(len(other) + 1), rng.randrange(len(data) + 1)
    return data[:place] + other[start : start + rng.choice((16, 512, 1 << 20))] + data[place:]


def text(data: bytes, rng: random.Random) -> bytes:
    """Replace, swap or repeat fields and lines of a text."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    row = rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 0:
        lines[row] = re.sub(r"[^,:;\"]+", lambda m: rng.choice(WORDS) if rng.random() < 0.3 else m[0], lines[row])
    elif kind == 1:
        lines.insert(row, lines[rng.randrange(len(lines))])
    elif kind == 2:
        lines[row] = rng.choice(WORDS)
    elif kind == 3:
        fields = lines[row].split(",")
        rng.shuffle(fields)
        lines[row] = ",".join(fields)
    else:
        lines = lines[:row] + lines[row + 1 :]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _value(value: object, rng: random.Random) -> object:
    """Another value in place of a part of some JSON."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        if rng.random() < 0.1:
            return value | {rng.choice(WORDS): value[key]}
        return value | {key: _value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], _value(value[place], rng), *value[place + 1 :]] * rng.choice((1, 1, 1, 2))
    if isinstance(value, str) and value[:1] in "{[" and rng.random() < 0.8:
        return json.dumps(_value(json.loads(value), rng))
    return rng.choice([None, True, 0, -1, 1.5, 1e308, 2**70, [], {}, [[]], float("nan"), *WORDS, value])


def json_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.decode().splitlines()
    row = rng.randrange(len(lines))
    lines[row] = json.dumps(_value(json.loads(lines[row]), rng))
    return "\n".join(lines).encode()


def json_document(data: bytes, rng: random.Random) -> bytes:
    return json.dumps(_value(json.loads(data), rng)).encode()


def safetensors_header(data: bytes, rng: random.Random) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(_value(json.loads(data[8 : 8 + size]), rng)).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def glb_header(data: bytes, rng: random.Random) -> bytes:
    size = int.from_bytes(data[12:16], "little")
    document = json.dumps(_value(json.loads(data[20 : 20 + size]), rng)).encode()
    document += b" " * (-len(document) % 4)
    rest = data[20 + size :]
    return data[:8] + struct.pack("<III", 20 + len(document) + len(rest), len(document), 0x4E4F534A) + document + rest


def png_chunk(data: bytes, rng: random.Random) -> bytes:
    """Change a chunk and correct its checksum."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    i = rng.randrange(len(chunks))
    name, body = chunks[i]
    chunks[i] = (name, rng.choice((flip, overwrite, cut, repeat))(body, rng))
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[rng.randrange(len(chunks))])
    parts = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return data[:8] + b"".join(parts)


def npz_array(data: bytes, rng: random.Random) -> bytes:
    """Change an array of an npz, or its header, within an intact archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    kind = rng.randrange(6)
    if kind == 0:
        members.pop(name)
    elif kind == 1:
        members[name] = rng.choice((flip, overwrite, cut))(members[name], rng)
    elif kind == 2:
        members[name] = members[rng.choice(list(members))]
    else:
        array = np.load(io.BytesIO(members[name]), allow_pickle=False)
        members[name] = _saved(_array(array, rng))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return out.getvalue()


def _array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    kind = rng.randrange(7)
    if kind == 0 and array.dtype.kind == "f" and array.size:
        changed = array.copy()
        changed.flat[rng.randrange(changed.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e30))
        return changed
    if kind == 1:
        return array[..., :0]
    if kind == 2:
        return np.stack([array, array])
    if kind == 3:
        return (
            array.astype(rng.choice(("U8", "S3", "c8", "i1", "f2", "?"))) if array.dtype.kind in "fiub" else array[..., None]
        )
    if kind == 4:
        return array.reshape(-1)
    if kind == 5:
        return np.full(array.shape, rng.choice(INTEGERS[:10]))
    return np.array(rng.choice(WORDS).encode("ascii", "ignore"))


def _saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


BYTES: list[Mutation] = [flip, overwrite, cut, remove, repeat, insert, splice]
#: Changes by suffix that get past a format's first check.
FORMS: dict[str, list[Mutation]] = {
    ".csv": [text, text, text],
    ".txt": [text, text, text],
    ".jsonl": [json_lines, text],
    ".json": [json_document],
    ".safetensors": [safetensors_header, safetensors_header],
    ".glb": [glb_header, glb_header],
    ".png": [png_chunk, png_chunk],
    ".npz": [npz_array, npz_array],
}
