"""Damaged files from whole ones, the same for the same seed: what may come from a disk, a net or an enemy."""

import copy
import io
import json

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_NUMBERS = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x80\x00")


def images(count: int, seed: int = 0) -> list[bytes]:
    """Damaged image files, as many of each format."""
    rng = np.random.default_rng(seed)
    wholes = whole_images(rng)
    return [damaged(rng, wholes[i % len(wholes)], wholes) for i in range(count)]


def whole_images(rng: np.random.Generator) -> list[bytes]:
    """Small images of noise: of every format a plain one, a larger one, and one of another kind."""
    small, large = (Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in ((9, 13), (24, 32)))
    frames = {"save_all": True, "append_images": [small.rotate(180)]}
    others = {"JPEG": {"progressive": True}, "PNG": frames, "GIF": frames, "BMP": {}, "WEBP": {"lossless": True}}
    return [
        *(encoded(image, name) for image in (small, large) for name in FORMATS),
        *(encoded(small.convert("P") if name == "BMP" else small, name, **others[name]) for name in FORMATS),
    ]


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    """An image's file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def damaged(rng: np.random.Generator, whole: bytes, others: list[bytes]) -> bytes:
    """A file with flipped bits, cut short, spliced, with another's header, or with a number that is far too large."""
    content, other = bytearray(whole), others[rng.integers(len(others))]
    match rng.integers(6):
        case 0:
            for place in rng.integers(len(content), size=rng.integers(1, 9)):
                content[place] ^= 1 << int(rng.integers(8))
        case 1:
            for place in rng.integers(min(len(content), 64), size=rng.integers(1, 5)):
                content[place] = rng.integers(256)
        case 2:
            content = content[: rng.integers(len(content))]
        case 3:
            content = content[: rng.integers(len(content))] + other[rng.integers(len(other)) :]
        case 4:
            num_bytes = int(rng.integers(1, 33))
            content[:num_bytes] = other[:num_bytes]
        case 5:
            place = rng.integers(len(content))
            content[place : place + 4] = _NUMBERS[rng.integers(len(_NUMBERS))]
    return bytes(content)


def texts(whole: bytes, count: int, seed: int = 0) -> list[bytes]:
    """Damaged copies of a text file, in which bytes and words are others, gone, or there twice."""
    rng = np.random.default_rng(seed)
    return [_damaged_text(rng, whole) for _ in range(count)]


_WORDS = (
    *(
        b"nan",
        b"inf",
        b"-1e999",
        b"1e5000",
        b"9" * 5000,
        b"-0",
        b"0x10",
        b"1_0",
        b"",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(b"../../../etc/passwd", b"/etc/passwd", b"null", b"true", b"{}", b"[]", b'"', b"&a;", b"<a>", b"]]>", b"a b"),
    *("\u0661".encode(), "\u2028".encode(), b"\r", b"\n", b"\t", b"[" * 3000, b"<a>" * 3000, b'{"id":' * 3000),
)


def _damaged_text(rng: np.random.Generator, whole: bytes) -> bytes:
    content = whole
    for _ in range(rng.integers(1, 4)):
        at, to = np.sort(rng.integers(len(content) + 1, size=2))
        near = min(to, at + int(rng.integers(1, 20)))
        match rng.integers(6):
            case 0:
                content = content[:at] + bytes(rng.integers(256, size=rng.integers(1, 4)).tolist()) + content[near:]
            case 1:
                content = content[:at] + _WORDS[rng.integers(len(_WORDS))] + content[near:]
            case 2:
                content = content[:at] + content[near:]
            case 3:
                content = content[:at]
            case 4:
                content = content[:to] + content[at:]
            case 5:
                words = content.split(b" ")
                words[rng.integers(len(words))] = _WORDS[rng.integers(len(_WORDS))]
                content = b" ".join(words)
    return content


_VALUES = (
    *(None, True, "", "1", "nan", "\n", "../../x.jpg", "/etc/passwd", "\ud800", "\0", "a" * 5000, 0, -1, 1.5, 10**400),
    *(float("nan"), float("inf"), 1e308, [], {}, [[]], [None], {"a": 1}, [1, 2, 3], [1e9] * 4, ["1", "2", "3", "4"]),
)


def trees(whole: dict | list, count: int, seed: int = 0) -> list[str]:
    """JSON of copies in which some values are others, or gone."""
    rng = np.random.default_rng(seed)
    return [json.dumps(_damaged_tree(rng, copy.deepcopy(whole))) for _ in range(count)]


def _damaged_tree(rng: np.random.Generator, tree: dict | list) -> dict | list:
    for _ in range(rng.integers(1, 4)):
        inner = tree
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not keys:
                break
            key = keys[rng.integers(len(keys))]
            if isinstance(inner[key], dict | list) and rng.random() < 0.8:
                inner = inner[key]
                continue
            if rng.random() < 0.2:
                del inner[key]
            else:
                inner[key] = copy.deepcopy(_VALUES[rng.integers(len(_VALUES))])
            break
    return tree
