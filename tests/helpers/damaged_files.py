"""Damaged copies of sound files, drawn by hypothesis."""

import struct

from hypothesis import strategies as st


def broken(draw, sound: bytes, hot: int) -> bytes:
    """Draw a damaged copy of a file; most damage falls on its first `hot` bytes."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        top = len(data) if draw(st.integers(0, 4)) == 0 else min(hot, len(data))
        at = draw(st.integers(0, top - 1))
        kind = draw(st.sampled_from(("flip", "number", "cut", "drop", "repeat", "bytes")))
        if kind == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            form = draw(st.sampled_from(("<h", "<i", "<f", ">i", "<q")))
            edges = (0, -1, 1, 2, 255, 4096, 32767, -32768)
            value = draw(
                st.sampled_from((*edges, 2**31 - 1, -(2**31)) if form[1] != "h" else edges)
            )
            number = struct.pack(form, value)
            data[at : at + len(number)] = number
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + draw(st.integers(1, 16))]
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)
