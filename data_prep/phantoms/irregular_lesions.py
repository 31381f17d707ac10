"""Seeded pictures of irregular lesions in clutter, to test pseudo masks where ellipses do not fit.

`python -m data_prep.phantoms.irregular_lesions OUT` writes `OUT/images/clutter.nii.gz` and
`OUT/masks/…`: every slice
is a picture of its own with one lobed lesion (its label is the slice's number), four
look-alikes of the same intensity beside it, some touching, and organs of other intensities behind.
The phantom of `abdomen` has ellipsoids for lesions, which flatters the ellipse; here a
rule must follow the image to score well.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep.command_line import print_any_character
from data_prep.phantoms.nifti import write_nifti

SIZE_PX = 160


def make_picture(
    seed: int | tuple[int, ...], contrast: tuple[float, float] = (60.0, 250.0)
) -> tuple[np.ndarray, np.ndarray]:
    """One picture.

    Args:
        seed: same seed, same picture.
        contrast: range of the difference between the lesion and what lies behind it; the noise has
            a standard deviation of 8 to 30.

    Returns:
        image `(160, 160)` int16 and lesion `(160, 160)` bool, one component, 6 to 40 pixels across.
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
    """Write `number` pictures as one volume with its mask; spacing 1 mm."""
    pictures = [make_picture((seed, k), contrast) for k in range(number)]
    labels = np.stack([lesion * (k + 1) for k, (_, lesion) in enumerate(pictures)])
    images = np.stack([image for image, _ in pictures])
    write_nifti(out_dir / "images" / "clutter.nii.gz", images)
    write_nifti(out_dir / "masks" / "clutter.nii.gz", labels.astype(np.uint16))


def _blob(rng: np.random.Generator, centre: np.ndarray, radius: float, lobes: float) -> np.ndarray:
    """An ellipse of random aspect, its outline bent by four waves."""
    y, x = np.indices((SIZE_PX, SIZE_PX)) - np.array((centre[1], centre[0]))[:, None, None]
    angle = np.arctan2(y, x)
    turn, aspect = rng.uniform(0, np.pi), rng.uniform(0.6, 1)
    outline = aspect / np.hypot(aspect * np.cos(angle - turn), np.sin(angle - turn))
    for wave in range(2, 6):
        height = lobes * rng.uniform(-1, 1) * 2 / wave
        outline += height * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(x, y) <= radius * outline


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    print_any_character()
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.phantoms.irregular_lesions", description=__doc__
    )
    parser.add_argument("out_dir", type=Path, help="receives images/ and masks/")
    parser.add_argument("--number", type=int, default=100, help="pictures (100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--contrast", type=float, nargs=2, default=(60.0, 250.0), help="range (60 250)"
    )
    args = parser.parse_args(argv)
    write(args.out_dir, args.number, args.seed, tuple(args.contrast))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
