"""The voxels of a scan in the form in which a page embeds them: 8 bits, slice by slice."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np

# Outside of these percentiles of the scan are single bright or dark voxels.
EMBEDDED_PERCENTILES = (0.05, 99.95)
WINDOW_PERCENTILES = (0.5, 99.5)
# So many voxels are enough for percentiles.
_SAMPLE = 1_000_000


@dataclass(frozen=True, eq=False)
class EmbeddedVolume:
    """A scan as 8-bit values.

    Attributes:
        slices: Base64 text of each axial slice: zlib of the differences to the left neighbour,
            row by row, modulo 256.
        low, high: Intensities of the values 0 and 255; what lies beyond is cut.
        window: Intensities that are black and white when the page opens.
    """

    slices: list[str]
    low: float
    high: float
    window: tuple[float, float]


def embed(array: np.ndarray) -> EmbeddedVolume:
    """Pack a volume.

    Args:
        array: Axial `(Z, Y, X)`, finite.

    Examples:
        >>> import numpy as np
        >>> packed = embed(np.arange(24.0).reshape(2, 3, 4))
        >>> len(packed.slices), packed.low < packed.window[0] < packed.window[1] < packed.high
        (2, True)
    """
    sample = array.reshape(-1)[:: max(1, array.size // _SAMPLE)]
    low, black, white, high = np.percentile(
        sample, [EMBEDDED_PERCENTILES[0], *WINDOW_PERCENTILES, EMBEDDED_PERCENTILES[1]]
    ).tolist()
    if low == high:  # nearly all voxels are equal
        low, high = float(array.min()), float(array.max())
        black, white = low, high
    slices = [_pack(_to_bytes(part, low, high)) for part in array]
    return EmbeddedVolume(slices, low, high, (black, white))


def _to_bytes(image: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (image.astype(np.float32) - low) * (255 / (high - low))
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


def _pack(image: np.ndarray) -> str:
    differences = np.diff(image, axis=1, prepend=np.uint8(0))
    # Noise repeats itself next to itself only: runs take less time and room than a search.
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return base64.b64encode(packer.compress(differences.tobytes()) + packer.flush()).decode("ascii")
