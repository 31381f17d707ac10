"""PNG slices: sized by their header, and decoded in a process of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from data_prep.errors import DataError
from data_prep.limits import check_file, check_png
from data_prep.volumes import decode_server

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Channels of the colour types.
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def header(content: bytes, name: str) -> tuple[int, int, int, int]:
    """Return width, height, bits and colour type (0: grey) of a PNG file's first 33 bytes.

    Raises:
        DataError: It is no PNG, or one larger than slices are.
    """
    if content[:8] != SIGNATURE or content[12:16] != b"IHDR" or len(content) < 33:
        raise DataError("Expected a PNG slice but got other contents. Copy it again.", path=name)
    check_png(content, name)
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    return width, height, content[24], content[25]


def decode(path: Path, name: str) -> np.ndarray:
    """Return the pixels of a PNG file as OpenCV does; called by `decode_child`."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise DataError(
            "Expected a sound PNG slice but got a broken one. Copy it again.", path=name
        )
    return image


def read_each(files: Sequence[tuple[Path, str]]) -> Iterator[np.ndarray | DataError]:
    """Yield the pixels `(H, W)` or `(H, W, C)` of PNG files, or why a file cannot be used.

    Args:
        files: Path of each file, and how messages call it.
    """
    refused: dict[int, DataError] = {}
    sizes = [0]
    for number, (path, name) in enumerate(files):
        try:
            sizes.append(_decoded_bytes(path, name))
        except DataError as error:
            refused[number] = error
    sound = [file for number, file in enumerate(files) if number not in refused]
    decoded = decode_server.decode_each(sound, "png", max(sizes))
    for number in range(len(files)):
        yield refused[number] if number in refused else next(decoded)


def read_png(path: Path, name: str) -> np.ndarray:
    """Return the pixels of one PNG file; see `read_each`."""
    (image,) = read_each([(path, name)])
    if isinstance(image, DataError):
        raise image
    return image


def _decoded_bytes(path: Path, name: str) -> int:
    check_file(path, name)
    try:
        with open(path, "rb") as file:
            width, height, bits, colour = header(file.read(33), name)
    except OSError as error:
        raise DataError(
            f"Expected a PNG slice but it cannot be read ({error.strerror}). Copy it again.",
            path=name,
        ) from None
    return math.ceil(width * height * _CHANNELS.get(colour, 4) * max(bits, 8) / 8)
