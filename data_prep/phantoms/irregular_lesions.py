"""Random images of irregular lesions in clutter, to test pseudo masks where ellipses do not fit.

`write` makes one volume and its mask. Every slice is an image of its own with one lobed lesion (its
label is the slice's number), four look-alikes of the same intensity beside it, some touching, and
organs of other intensities behind. The phantom of `abdomen` has ellipsoids for lesions, which
flatters the ellipse; here a method must follow the image to score well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep.phantoms.nifti import write_nifti

SIZE_PX = 160


def make_image(
    seed: int | tuple[int, ...], contrast: tuple[float, float] = (60.0, 250.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image.

    Args:
        seed: Same seed, same image.
        contrast: Range of the difference between the lesion and what lies behind it; the noise has
            a standard deviation of 8 to 30.

    Returns:
        Image `(160, 160)` int16 and lesion `(160, 160)` bool, one component, 6 to 40 pixels across.
    """
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.standard_normal((SIZE_PX, SIZE_PX)), 12)
    texture /= texture.std()
    image = 300 + 60 * texture
    for _ in range(5):
        organ = _blob(rng, rng.uniform(0, SIZE_PX, 2), rng.uniform(20, 45), 0.3)
        image[organ] += rng.uniform(-180, 180)
    radius = rng.uniform(4, 18)
    centre = SIZE_PX / 2 + rng.uniform(-8, 8, 2)
    lesion = _blob(rng, centre, radius, 0.22)
    parts, _ = ndimage.label(lesion)
    lesion = parts == np.bincount(parts[lesion]).argmax()
    value = image[lesion].mean() + rng.choice((-1, 1)) * rng.uniform(*contrast)
    for _ in range(4):
        angle, away = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.6, 3.2)
        place = centre + away * np.array((np.cos(angle), np.sin(angle)))
        lookalike = _blob(rng, place, radius * rng.uniform(0.5, 1), 0.2)
        image[lookalike] = value + rng.normal(0, 15)
    image[lesion] = value + 25 * texture[lesion]
    image = ndimage.gaussian_filter(image, rng.uniform(0.4, 1.1))
    image += rng.normal(0, rng.uniform(8, 30), image.shape)
    return np.round(image).astype(np.int16), lesion


def write(out_dir: Path, number: int, seed: int, contrast: tuple[float, float]) -> None:
    """Write `number` images as one volume with its mask, `images/` and `masks/irregular.nii.gz`.

    The spacing is 1 mm.
    """
    drawn = [make_image((seed, k), contrast) for k in range(number)]
    labels = np.stack([lesion * (k + 1) for k, (_, lesion) in enumerate(drawn)])
    images = np.stack([image for image, _ in drawn])
    write_nifti(out_dir / "images" / "irregular.nii.gz", images)
    write_nifti(out_dir / "masks" / "irregular.nii.gz", labels.astype(np.uint16))


def _blob(rng: np.random.Generator, centre: np.ndarray, radius: float, lobes: float) -> np.ndarray:
    """Draw an ellipse of random aspect, its outline bent by four waves."""
    y, x = np.indices((SIZE_PX, SIZE_PX)) - np.array((centre[1], centre[0]))[:, None, None]
    angle = np.arctan2(y, x)
    turn, aspect = rng.uniform(0, np.pi), rng.uniform(0.6, 1)
    outline = aspect / np.hypot(aspect * np.cos(angle - turn), np.sin(angle - turn))
    for wave in range(2, 6):
        height = lobes * rng.uniform(-1, 1) * 2 / wave
        outline += height * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(x, y) <= radius * outline
