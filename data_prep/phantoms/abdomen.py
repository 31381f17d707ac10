"""Seeded T2-like abdominal phantom with known lesions, for demos, tests and benchmarks.

Every volume is drawn from ellipsoids in millimetres: a body with fat and muscle, organs, a spine
with its bright canal, two great vessels, lymph nodes, and look-alikes of the nodes (bowel loops,
small vessels in cross-section, cysts). A bias field and Rician noise make intensities vary between
and within volumes as they do in MR. It is a test object, not a model of anatomy: nothing measured
on it says how a detector does on patients.

Coordinates: x to the patient's left, y to the back (posterior), z to the head, in mm from the
centre of the volume, i.e. LPS as SimpleITK uses it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep.atomic_files import write_csv
from data_prep.bookmarks import recist
from data_prep.phantoms.nifti import write_nifti

# Centre (x, y), radii (x, y) as fractions of the body's half axes, signal in arbitrary units.
_ORGANS = (
    ("muscle ring", (0.00, 0.00), (0.90, 0.86), 170.0),
    ("inner fat", (0.00, -0.06), (0.82, 0.74), 420.0),
    ("liver", (-0.46, -0.22), (0.34, 0.44), 250.0),
    ("spleen", (0.60, 0.02), (0.16, 0.28), 430.0),
    ("right kidney", (-0.40, 0.38), (0.13, 0.19), 520.0),
    ("left kidney", (0.40, 0.38), (0.13, 0.19), 520.0),
    ("vertebra", (0.00, 0.42), (0.15, 0.19), 230.0),
    ("right psoas", (-0.22, 0.44), (0.09, 0.15), 150.0),
    ("left psoas", (0.22, 0.44), (0.09, 0.15), 150.0),
    ("spinal canal", (0.00, 0.70), (0.07, 0.08), 760.0),
    ("spinal cord", (0.00, 0.71), (0.035, 0.04), 360.0),
    ("aorta", (0.06, 0.13), (0.07, 0.095), 60.0),
    ("vena cava", (-0.12, 0.13), (0.085, 0.08), 75.0),
)
_BODY_SIGNAL = 480.0
_NODE_SIGNAL = (600.0, 690.0)
# Look-alikes that can be classes of their own, and their names.
_CLASSES = {"cyst": "cyst", "vessel": "vessel cross-section"}


@dataclass(frozen=True)
class Phantom:
    """One phantom volume with its ground truth.

    Attributes:
        image: `(Z, Y, X)` int16, axial LPS.
        labels: `(Z, Y, X)` uint16, 0 background, 1…n one label per node.
        spacing_mm: Voxel size (x, y, z) in mm.
        classes: With three classes the class of each label, which may then be a look-alike.
    """

    image: np.ndarray
    labels: np.ndarray
    spacing_mm: tuple[float, float, float]
    classes: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Canvas:
    """A body without acquisition, and what is known of it while it is painted.

    Attributes:
        grid: Voxel centres in mm, open grids (z, y, x).
        half: Half axes of the body (x, y) in mm.
        height: Of the volume in mm.
        image: `(Z, Y, X)` float32 signal, painted in place.
        taken: `(Z, Y, X)` bool, where nothing more is placed.
    """

    grid: tuple[np.ndarray, np.ndarray, np.ndarray]
    half: np.ndarray
    height: float
    image: np.ndarray
    taken: np.ndarray

    def inside(self) -> np.ndarray:
        """Return `(Z, Y, X)`, the inner fat and what lies in it."""
        z, y, x = self.grid
        radii = (0.8 * self.half[0], 0.72 * self.half[1])
        return ((x / radii[0]) ** 2 + (y / radii[1]) ** 2 <= 1) & np.isfinite(z)

    def place(self, rng, short_mm: tuple[float, float]) -> np.ndarray | None:
        """Find a free ellipsoid around the great vessels or in the mesentery, or None."""
        for _ in range(200):
            near_vessels = rng.random() < 0.6
            low, high = (
                ((-0.32, 0.0), (0.32, 0.32)) if near_vessels else ((-0.25, -0.6), (0.6, 0.1))
            )
            centre = (*(rng.uniform(low, high) * self.half), self.height * rng.uniform(-0.42, 0.42))
            short = rng.uniform(*short_mm)
            radii = (short * rng.uniform(1.15, 1.7), short, short * rng.uniform(0.9, 1.5))
            mask = ellipsoid(self.grid, centre, radii, rng.uniform(0, np.pi))
            if mask.any() and not (self.taken & mask).any():
                return mask
        return None

    def paint_lookalike(self, rng) -> tuple[str, np.ndarray | None]:
        """Paint a bowel loop (bright, dark wall), a vessel across (dark) or a cyst (too bright)."""
        kind = rng.choice(["bowel", "vessel", "cyst"])
        size = {"bowel": (9.0, 14.0), "vessel": (3.0, 6.0), "cyst": (4.0, 7.0)}[kind]
        mask = self.place(rng, short_mm=size)
        if mask is None:
            return kind, None
        self.image[mask] = {"bowel": 140.0, "vessel": 70.0, "cyst": 980.0}[kind]
        if kind == "bowel":
            core = ndimage.binary_erosion(mask, structure=np.ones((1, 3, 3)), iterations=2)
            self.image[core] = rng.uniform(520.0, 800.0)
        self.taken[mask] = True
        return kind, mask


def draw_body(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> Canvas:
    """Paint body, fat, organs and great vessels.

    Args:
        rng: Decides size and places.
        shape: Voxels (Z, Y, X).
        spacing_mm: Voxel size (x, y, z) in mm.
    """
    z, y, x = _grid(shape, spacing_mm)
    half = np.array([0.43 * shape[2] * spacing_mm[0], 0.36 * shape[1] * spacing_mm[1]])
    half *= rng.uniform(0.92, 1.05, 2)
    height = shape[0] * spacing_mm[2]
    image = np.full(shape, 12.0, np.float32)
    image[((x / half[0]) ** 2 + (y / half[1]) ** 2 <= 1) & np.isfinite(z)] = _BODY_SIGNAL
    taken = np.zeros(shape, bool)
    for name, centre, radii, signal in _ORGANS:
        mask = _organ(rng, (z, y, x), half, height, name, centre, radii)
        image[mask] = signal * rng.uniform(0.94, 1.06)
        if name not in ("muscle ring", "inner fat"):
            taken |= mask
    return Canvas((z, y, x), half, height, image, taken)


def make_phantom(
    seed: int,
    *,
    shape: tuple[int, int, int] = (24, 128, 128),
    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 5.0),
    n_nodes: int = 4,
    n_lookalikes: int = 6,
    noise: float = 16.0,
    three_classes: bool = False,
) -> Phantom:
    """Draw one phantom.

    Args:
        seed: Same seed, same bytes.
        shape: Voxels (Z, Y, X).
        spacing_mm: Voxel size (x, y, z) in mm.
        n_nodes: Nodes to place; 0 gives a lesion-free volume.
        n_lookalikes: Distractors to place beside them.
        noise: Standard deviation of each channel of the Rician noise, in signal units.
        three_classes: Label cysts and vessels across too; the volume is the same.

    Returns:
        The volume; it holds fewer nodes than asked for if no free place is left.
    """
    rng = np.random.default_rng(seed)
    canvas = draw_body(rng, shape, spacing_mm)
    labels, classes = np.zeros(shape, np.uint16), {}
    for label in range(1, n_nodes + 1):
        mask = canvas.place(rng, short_mm=(5.0, 10.0))
        if mask is not None:
            labels[mask], classes[label] = label, "node"
            canvas.image[mask] = rng.uniform(*_NODE_SIGNAL)
            canvas.taken[ndimage.binary_dilation(mask, iterations=2)] = True
    for label in range(n_nodes + 1, n_nodes + n_lookalikes + 1):
        kind, mask = canvas.paint_lookalike(rng)
        if three_classes and mask is not None and kind in _CLASSES:
            labels[mask], classes[label] = label, _CLASSES[kind]
    named = dict(enumerate(classes.values(), start=1)) if three_classes else {}
    return Phantom(acquire(rng, canvas.image, noise), relabel(labels), tuple(spacing_mm), named)


def bookmarks(
    phantom: Phantom, *, min_short_mm: float = 6.0
) -> list[tuple[int, int, recist.Bookmark]]:
    """Measure the phantom's nodes (and other labels) as a reader would.

    Every node defines a key slice, the one where its longest diameter is largest. On a key slice
    all nodes with a short axis of at least `min_short_mm` are measured, so no slice in use holds
    an unmarked node of relevant size.

    Returns:
        `(label, slice index, bookmark)`, ordered by slice, then label.
    """
    spacing_xy = phantom.spacing_mm[:2]
    scale = np.divide(spacing_xy, min(spacing_xy)).tolist()  # of square pixels 1, so exact
    cuts: dict[int, dict[int, recist.Bookmark]] = {}
    for label in np.unique(phantom.labels[phantom.labels > 0]):
        mask = phantom.labels == label
        cuts[int(label)] = {
            int(k): recist.measure(mask[k], scale) for k in np.flatnonzero(mask.any((1, 2)))
        }
    keys = {
        max(cut, key=lambda k, cut=cut: cut[k].long_length(spacing_xy)) for cut in cuts.values()
    }
    return sorted(
        (
            (label, k, cut[k])
            for label, cut in cuts.items()
            for k in keys & set(cut)
            if cut[k].short_length(spacing_xy) >= min_short_mm
        ),
        key=lambda row: (row[1], row[0]),
    )


def write_dataset(
    out_dir: str | os.PathLike,
    n_volumes: int,
    seed: int = 0,
    *,
    n_nodes: int = 4,
    n_empty: int = 0,
    **options,
) -> Path:
    """Write phantoms as a data set that `data_prep.prepare` reads.

    Args:
        out_dir: Receives `images/` and `masks/` (NIfTI) and, last, `bookmarks.csv`.
        n_volumes: Volumes with nodes.
        seed: Volume `i` is drawn from `(seed, i)`, whatever `n_volumes` is.
        n_nodes: Nodes per volume.
        n_empty: Lesion-free volumes added behind the others.
        **options: Passed to `make_phantom`.

    Returns:
        The path of `bookmarks.csv`.
    """
    out = Path(out_dir)
    rows = []
    for index in range(n_volumes + n_empty):
        name = f"phantom_{index:03d}.nii.gz"
        nodes = n_nodes if index < n_volumes else 0
        phantom = make_phantom((seed, index), n_nodes=nodes, **options)
        write_nifti(out / "images" / name, phantom.image, phantom.spacing_mm)
        write_nifti(out / "masks" / name, phantom.labels, phantom.spacing_mm)
        for label, k, mark in bookmarks(phantom):
            points = np.concatenate([mark.long_axis, mark.short_axis]).ravel()
            structure = phantom.classes.get(label, f"node_{label}")
            rows.append([name, k, structure, f"phantom_{index:03d}", *points.tolist()])
    ends = [f"{axis}_{c}{i}" for axis in ("long", "short") for i in (1, 2) for c in "xy"]
    return write_csv(
        out / "bookmarks.csv", ["volume", "slice", "structure", "patient", *ends], rows
    )


def _grid(shape, spacing_mm):
    """Return voxel centres in mm as open grids (z, y, x)."""
    axes = [
        (np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, reversed(spacing_mm), strict=True)
    ]
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def ellipsoid(grid, centre_mm, radii_mm, angle=0.0):
    """Draw an ellipsoid; `centre_mm`, `radii_mm` as (x, y, z), in-plane `angle` in rad."""
    z, y, x = grid
    dx, dy = x - centre_mm[0], y - centre_mm[1]
    u = np.cos(angle) * dx + np.sin(angle) * dy
    v = np.cos(angle) * dy - np.sin(angle) * dx
    dz = (z - centre_mm[2]) / radii_mm[2]
    return (u / radii_mm[0]) ** 2 + (v / radii_mm[1]) ** 2 + dz**2 <= 1


def _organ(rng, grid, half, height, name, centre, radii):
    """Draw one organ: long structures run through the volume, the others end inside it."""
    jitter = rng.normal(0, 0.012, 2)
    scale = rng.uniform(0.93, 1.07)
    through = name in ("liver", "spleen") or "kidney" in name
    rz = height * (rng.uniform(0.55, 0.9) if through else 1e3)
    cz = height * rng.uniform(-0.15, 0.15)
    centre_mm = (*((np.array(centre) + jitter) * half), cz)
    return ellipsoid(grid, centre_mm, (*(np.array(radii) * half * scale), rz))


def acquire(rng, image, noise):
    """Add partial volume, coil sensitivity and Rician noise; int16."""
    blurred = ndimage.gaussian_filter(image, (0.0, 0.6, 0.6))
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij", sparse=True)
    slopes = rng.normal(0, 0.08, 6)
    field = sum(s * a for s, a in zip(slopes[:3], axes, strict=True))
    field = field + sum(s * a * a for s, a in zip(slopes[3:], axes, strict=True))
    signal = blurred * np.exp(field) * rng.uniform(0.8, 1.25)
    real, imaginary = rng.normal(0, noise, (2, *image.shape))
    return np.hypot(signal + real, imaginary).round().clip(0, 32767).astype(np.int16)


def relabel(labels):
    """Return consecutive labels 1…n, in the order of the old ones."""
    return np.searchsorted(np.unique(labels), labels).astype(labels.dtype)
