"""Phantoms in which only the context says which nodes are abnormal: the benchmark `phantom`.

Each study holds a renal tumour in one kidney, on either side. Enlarged nodes (short axis from
10 mm) lie around the great vessels and in the mesentery on both sides; all are drawn from one
distribution of size, shape and signal. Those on the tumour's side are metastases, so lesions; equal
ones on the other side are reactive, so not. Nothing at the node tells them apart: a detector has to
relate its place to the kidneys, 4 to 15 cm away. The tumour itself is no lesion of this set.

A study is a slab at the level of the kidneys with several reactive nodes: more than one lies on a
slice on average, so that a detector which only knows what an enlarged node looks like has to accept
more than one false positive per slice to find all lesions. With fewer, nothing could be gained.

Look-alikes that the node's own neighbourhood tells: normal nodes (short axis below 8 mm) on both
sides, bowel, cysts, and vessels that cross the slices obliquely. The rest is that of `abdomen`:
bias field, Rician noise, organs, signal that differs between studies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep.phantoms import abdomen
from data_prep.phantoms.abdomen import Phantom, ellipsoid
from data_prep.phantoms.nifti import write_nifti
from data_prep.public_sets.key_slices import key_slice_bookmarks, write_bookmarks

ABNORMAL_MM, NORMAL_MM = (10.0, 40.0), (5.0, 8.0)  # short axes
# Share of the half axes (x, y) in which nodes lie, x away from the middle.
_NEAR_VESSELS, _MESENTERY = ((0.10, 0.02), (0.30, 0.25)), ((0.08, -0.60), (0.45, 0.02))
_TUMOUR = (0.56, 0.42)  # the outer side of a kidney


@dataclass(frozen=True)
class Size:
    """How large a set is.

    Attributes:
        patients: One study each.
        lesions: Abnormal nodes of all of them; each patient has at least one.
        shape: Voxels (Z, Y, X).
        spacing_mm: Voxel size (x, y, z) in mm, on average; studies differ by up to a tenth.
        reactive: Least and greatest number of enlarged nodes on the other side.
    """

    patients: int
    lesions: int
    shape: tuple[int, int, int] = (8, 128, 128)
    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 6.0)
    reactive: tuple[int, int] = (4, 6)


# `paper`: as many patients and bookmarks as in the paper.
SIZES = {
    "tiny": Size(9, 12, (8, 64, 64), (5.0, 5.0, 12.0)),
    "demo": Size(60, 84),
    "paper": Size(584, 821),
}


def make_study(seed: object, size: Size, n_lesions: int) -> Phantom:
    """Draw one study.

    Args:
        seed: Same seed, same bytes.
        size: Grid, and how many enlarged nodes lie on the other side.
        n_lesions: Abnormal nodes, on the tumour's side.

    Returns:
        The volume; its labels are the abnormal nodes. It holds fewer than asked for if no free
        place is left.
    """
    rng = np.random.default_rng(seed)
    spacing = tuple(float(s) for s in np.array(size.spacing_mm) * rng.uniform(0.9, 1.1))
    canvas = abdomen.draw_body(rng, size.shape, spacing)
    side = int(rng.choice((-1, 1)))  # -1: the patient's right
    _paint_tumour(rng, canvas, side)
    labels = np.zeros(size.shape, np.uint16)
    for label in range(1, n_lesions + 1):
        node = _paint_node(rng, canvas, side, ABNORMAL_MM)
        if node is not None:
            labels[node] = label
    for _ in range(int(rng.integers(*size.reactive, endpoint=True))):
        _paint_node(rng, canvas, -side, ABNORMAL_MM)
    for _ in range(4):
        _paint_node(rng, canvas, int(rng.choice((-1, 1))), NORMAL_MM)
    for _ in range(3):
        canvas.paint_lookalike(rng)
        _paint_crossing_vessel(rng, canvas)
    image = abdomen.acquire(rng, ndimage.gaussian_filter(canvas.image, (0.4, 0.0, 0.0)), 16.0)
    return Phantom(image, abdomen.relabel(labels), spacing)


def lesions_per_patient(size: Size, seed: int = 0) -> np.ndarray:
    """Return how many abnormal nodes each patient has, `(patients,)`, at least one each."""
    rng = np.random.default_rng((seed, size.patients))
    more = rng.multinomial(size.lesions - size.patients, [1 / size.patients] * size.patients)
    return 1 + more


def write_dataset(out_dir: str | os.PathLike, size: Size, seed: int = 0) -> int:
    """Write a set that `mmglan prepare` reads: one bookmark per abnormal node, on its key slice.

    Each coordinate of a bookmark is moved by noise of 5 % of the short axis. A study in which not
    all nodes found a place is drawn again, so that the number of bookmarks is that of the size.

    Args:
        out_dir: Receives `images/` and `masks/` (NIfTI) and, last, `bookmarks.csv`.
        size: One of `SIZES`.
        seed: Same seed, same bytes.

    Returns:
        Number of bookmarks.
    """
    out = Path(out_dir)
    return write_bookmarks(out / "bookmarks.csv", _studies(out, size, seed))


def _studies(out: Path, size: Size, seed: int) -> Iterator[tuple]:
    for index, wanted in enumerate(lesions_per_patient(size, seed).tolist()):
        patient, name = f"context_{index:03d}", f"context_{index:03d}.nii.gz"
        for attempt in range(100):
            study = make_study((seed, index, attempt), size, wanted)
            spacing = study.spacing_mm[:2]
            marks = list(key_slice_bookmarks(study.labels, name, seed=seed, spacing_xy=spacing))
            if len(marks) == wanted:
                break
        write_nifti(out / "images" / name, study.image, study.spacing_mm)
        write_nifti(out / "masks" / name, study.labels, study.spacing_mm)
        for z, mark in marks:
            yield name, patient, z, mark


def _paint_tumour(rng, canvas, side: int) -> None:
    """Paint a mass of mixed signal on the outer side of one kidney."""
    place = np.array((side * _TUMOUR[0], _TUMOUR[1])) + rng.normal(0, 0.02, 2)
    radii = (*rng.uniform(14, 19, 2), canvas.height)
    mass = ellipsoid(canvas.grid, (*(place * canvas.half), 0.0), radii) & canvas.inside()
    canvas.image[mass] = rng.uniform(620, 700)
    core = ellipsoid(canvas.grid, (*(place * canvas.half), 0.0), tuple(np.array(radii) * 0.45))
    canvas.image[core & mass] = rng.uniform(250, 330)
    canvas.taken[mass] = True


def _paint_node(rng, canvas, side: int, short_mm) -> np.ndarray | None:
    """Paint an ellipsoid or a lobulated node on one side, where there is room; its voxels."""
    for _ in range(200):
        (x0, y0), (x1, y1) = _NEAR_VESSELS if rng.random() < 0.6 else _MESENTERY
        at = np.array((side * rng.uniform(x0, x1), rng.uniform(y0, y1))) * canvas.half
        centre = np.array((*at, canvas.height * rng.uniform(-0.42, 0.42)))
        # Small ones are frequent, as in patients.
        short = short_mm[0] * (short_mm[1] / short_mm[0]) ** (rng.random() ** 2) / 2
        radii = short * np.array((rng.uniform(1.1, 1.6), 1.0, rng.uniform(0.9, 1.4)))
        angle = rng.uniform(0, np.pi)
        node = ellipsoid(canvas.grid, centre, radii, angle)
        for _ in range(int(rng.integers(0, 3))):
            lobe = centre + rng.uniform(-0.6, 0.6, 3) * radii
            node |= ellipsoid(canvas.grid, lobe, radii * rng.uniform(0.6, 0.8), angle)
        if node.any() and not (node & (canvas.taken | (side * canvas.grid[2] <= 0))).any():
            canvas.image[node] = rng.uniform(520, 640)  # fat: 420 to 450
            canvas.taken[ndimage.binary_dilation(node)] = True
            return node
    return None


def _paint_crossing_vessel(rng, canvas) -> None:
    """Paint a dark tube that crosses the slices obliquely, behind what is there already."""
    z, y, x = canvas.grid
    start = rng.uniform((-0.3, -0.5), (0.3, 0.2)) * canvas.half
    slope = rng.uniform(-0.6, 0.6, 2)
    radius = rng.uniform(3.0, 6.0)
    tube = (x - start[0] - slope[0] * z) ** 2 + (y - start[1] - slope[1] * z) ** 2 <= radius**2
    canvas.image[tube & ~canvas.taken & canvas.inside()] = 70.0
