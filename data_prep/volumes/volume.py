"""Volumes in: any supported file or folder becomes an axial LPS array with its way back.

Formats: DICOM (a folder or a multi-frame file), NIfTI, NRRD, MetaImage, and DeepLesion's folders
of 16-bit PNG slices; `data_prep.volumes.any_format` holds their readers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from data_prep.errors import DataError
from data_prep.paths import relative_name
from data_prep.volumes.any_format import read_stored
from data_prep.volumes.dataset_json import label_names
from data_prep.volumes.geometry import Grid
from data_prep.volumes.padding import fill_outside
from data_prep.volumes.read_options import ReadOptions
from data_prep.volumes.segment_names import choose

# Labels that a program stored as scaled numbers come back as 0.996 or 1.000015.
LABEL_TOLERANCE = 0.01
_UID = re.compile(r"\b\d+(\.\d+){3,}")


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume in axial LPS order: z to the head, y to the back, x to the patient's left.

    Args:
        array: Intensities, shape `(Z, Y, X)`, the file's own number type or float32.
        spacing_mm: Voxel size in mm along (x, y, z).
        source_id: Path relative to the image folder, `#` and the series UID where one was named.
        grid: The grid on which the input is stored.
        slice_uids: DICOM: SOP instance UID of each stored slice, with `#` and the 1-based frame
            for frames of one file. Empty for other formats.
        slice_numbers: The files' own number of each stored slice where they have one (DeepLesion;
            DICOM's InstanceNumber, or the 1-based frame).
        notes: Lines on what was assumed or chosen in reading, for the user.
        frame_uid: DICOM: UID of the frame of reference, in which its mm count; else empty.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float]
    source_id: str
    grid: Grid
    slice_uids: tuple[str, ...] = ()
    slice_numbers: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    frame_uid: str = ""

    @property
    def stored_size(self) -> tuple[int, int, int]:
        """Columns, rows and slices of the stored volume."""
        return self.grid.size

    @property
    def anonymous_notes(self) -> tuple[str, ...]:
        """The notes without paths, lists of files and UIDs, which may name the patient."""
        source = self.source_id.partition("#")[0]
        return tuple(_without_names(note, source) for note in self.notes)

    @property
    def first_slice_end(self) -> str:
        """Where stored slice 0 lies in the patient: `feet`, `head`, `right` …"""
        axis = self.grid.axes.index(2)
        ends = (("right", "left"), ("front", "back"), ("feet", "head"))[axis]
        return ends[self.grid.flipped[axis]]

    def from_stored(self, points_xy: np.ndarray, slice_index: int) -> np.ndarray:
        """Map pixels `(N, 2)` (column, row; 0-based) of a stored slice to axial (x, y, z)."""
        points = np.asarray(points_xy, dtype=float)
        index = np.column_stack([points, np.full(len(points), float(slice_index))])
        return self.grid.axial_index(index)

    def from_patient_mm(self, points_lps: np.ndarray) -> np.ndarray:
        """Map points `(N, 3)` in mm (LPS) to axial voxel indices `(N, 3)` (x, y, z)."""
        return self.grid.axial_index(self.grid.stored_index_of_mm(points_lps))

    def to_patient_mm(self, points_xyz: np.ndarray) -> np.ndarray:
        """Map axial voxel indices `(N, 3)` (x, y, z) to points `(N, 3)` in mm (LPS)."""
        return self.grid.mm_of_stored_index(self.grid.stored_index(points_xyz))

    def to_source(self, array: np.ndarray) -> sitk.Image:
        """Return an axial `(Z, Y, X)` array as an image on the input's own grid, voxel by voxel.

        Raises:
            ValueError: If the array has another shape than the volume.
        """
        array = np.asarray(array)
        if array.shape != self.grid.axial_shape:
            raise ValueError(
                f"Expected an array of shape {self.grid.axial_shape} but got {array.shape}."
            )
        if array.dtype == bool:
            array = array.astype(np.uint8)
        image = sitk.GetImageFromArray(self.grid.to_stored(array))
        image.SetOrigin(self.grid.origin)
        image.SetSpacing(self.grid.spacing)
        image.SetDirection(self.grid.direction)
        return image


def read_volume(
    path: str | os.PathLike,
    *,
    root: str | os.PathLike | None = None,
    series_uid: str | None = None,
    series_rule: str = "only",
    spacing_mm: tuple[float, float, float] | None = None,
    min_slices: int = 2,
    nifti_form: str = "auto",
    nan: str = "refuse",
    philips_scaling: str = "display",
    modality: str | None = None,
    series_description: str | None = None,
) -> Volume:
    """Read a volume of any supported format into axial LPS order.

    Args:
        path: NIfTI, NRRD, MetaImage or multi-frame DICOM file, or a folder of DICOM files or of
            DeepLesion PNG slices. `folder#UID` names one DICOM series of a folder.
        root: Folder that holds the data set; ids and messages show paths relative to it.
        series_uid: Series instance UID to take from a DICOM folder.
        series_rule: What to do when a DICOM folder holds several image series and no UID is
            given: `only` refuses and lists them, as `all` does for a folder that was named;
            `most-slices` takes the longest one (and refuses a tie, or several studies). The choice
            is one of the volume's `notes`.
        spacing_mm: Spacing (x, y, z) of a DeepLesion folder; default: from `DL_info.csv`.
        min_slices: Fewer stored slices are refused. A single slice has no known distance to its
            neighbours.
        nifti_form: NIfTI files whose qform and sform lie more than a tenth of a voxel apart, or
            whose sform has other steps than pixdim: refuse them (`auto`), or take one, `qform`
            (with pixdim) or `sform`; that is one of the `notes`.
        nan: NaN voxels, as some programs write outside the field of view: `refuse` them, or `fill`
            them as padding is.
        philips_scaling: Philips MR: `display` values (the rescale of the standard), or `precise`
            ones, which Philips' private scale turns them into.
        modality: DICOM: only series of this modality; other formats are refused.
        series_description: DICOM: only series whose description contains this regular expression.

    Returns:
        The volume. All intensities are finite and not all are equal. Padding (voxels that the file
        marks as outside the image) holds the lowest other value of its axial slice.

    Raises:
        DataError: Whatever is wrong with the files.
        ValueError: An unknown choice of an option.

    Examples:
        A sagittal image of 4 slices, 3 mm apart, with 8 x 6 pixels of 0.5 mm:

        >>> import os, tempfile
        >>> import numpy as np, SimpleITK as sitk
        >>> import data_prep
        >>> image = sitk.GetImageFromArray(np.arange(4 * 6 * 8).reshape(4, 6, 8).astype(np.int16))
        >>> image.SetSpacing((0.5, 0.5, 3.0))
        >>> image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
        >>> folder = tempfile.mkdtemp()
        >>> sitk.WriteImage(image, os.path.join(folder, "case7.nii.gz"))
        >>> volume = data_prep.read_volume(os.path.join(folder, "case7.nii.gz"), root=folder)
        >>> volume.source_id, volume.array.shape, volume.spacing_mm
        ('case7.nii.gz', (6, 8, 4), (3.0, 0.5, 0.5))
        >>> result = volume.to_source(volume.array > 100)
        >>> result.GetSize() == image.GetSize(), result.GetDirection() == image.GetDirection()
        (True, True)
    """
    text = os.fspath(path)
    if series_uid is None and "#" in text and not os.path.lexists(text):
        text, series_uid = text.rsplit("#", 1)
    name = relative_name(text, root)
    source_id = f"{name}#{series_uid}" if series_uid else name
    options = ReadOptions(
        series_uid,
        series_rule,
        spacing_mm,
        nifti_form,
        nan,
        philips_scaling,
        modality,
        series_description,
    )
    stored = read_stored(Path(text), name, options)
    array = stored.array.astype(stored.array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused
            array = array.astype(np.float32, copy=False)
    array, notes = fill_outside(array, stored, name, nan)
    _check_values(array, name, min_slices)
    return Volume(
        array,
        stored.grid.axial_spacing,
        source_id,
        stored.grid,
        stored.slice_uids,
        stored.slice_numbers,
        stored.notes + notes,
        stored.frame_uid,
    )


def read_labels(
    path: str | os.PathLike,
    like: Volume,
    *,
    root: str | os.PathLike | None = None,
    allow_empty: bool = False,
    nifti_form: str = "auto",
    segments: str | None = None,
) -> Volume:
    """Read a label mask that lies on the grid of `like`; its stored orientation may differ.

    Args:
        path: Mask in any volume format.
        like: The volume that the mask belongs to.
        root: Folder of the masks; messages show the path relative to it.
        allow_empty: Take a mask without any label, as of a volume without lesions.
        nifti_form: See `read_volume`.
        segments: Regular expression that names of lesions contain, for masks that name their
            labels (3D Slicer's `.seg.nrrd`, nnU-Net's `dataset.json`); the others are left out.

    Returns:
        Labels in the axial order of `like`, uint16 or uint32.

    Raises:
        DataError: If the mask lies on another grid, is empty or holds no whole numbers; if its
            labels have unlike names and `segments` does not choose, or has no names to choose from.
    """
    labels = read_label_volume(
        path, root=root, allow_empty=allow_empty, nifti_form=nifti_form, segments=segments
    )
    difference = labels.grid.difference_from(like.grid)
    if difference:
        raise DataError(
            f"Expected a mask on the grid of {like.source_id} with {difference}."
            f" {labels.grid.advice_for(like.grid)}",
            path=labels.source_id,
        )
    return labels


def read_label_volume(
    path: str | os.PathLike,
    *,
    root: str | os.PathLike | None = None,
    allow_empty: bool = False,
    nifti_form: str = "auto",
    segments: str | None = None,
) -> Volume:
    """Read a label mask by itself; see `read_labels`."""
    name = relative_name(path, root)
    stored = read_stored(Path(path), name, ReadOptions(nifti_form=nifti_form))
    named = stored.segment_names or label_names(Path(path))
    values, notes = _lesions(_whole(stored.array, name), named, segments, name)
    highest = int(values.max())
    if highest == 0 and not allow_empty:
        raise DataError(
            "Expected at least one labelled voxel but got an empty mask. Remove it or list the "
            "volume as one without lesions.",
            path=name,
        )
    if highest > 0xFFFFFFFF:
        raise DataError(
            f"Expected labels up to 4294967295 but got {highest}. Renumber the labels.", path=name
        )
    array = stored.grid.to_axial(values.astype(np.uint16 if highest <= 0xFFFF else np.uint32))
    return Volume(array, stored.grid.axial_spacing, name, stored.grid, notes=stored.notes + notes)


def _lesions(
    labels: np.ndarray, named: Mapping[int, str], segments: str | None, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels without those that are no lesions by their names, and notes."""
    if not named and segments is None:
        return labels, ()
    if not named:
        raise DataError(
            "Expected a mask that names its segments for --segments but got a label map without"
            " names. Leave the option out, and other labels than lesions too, or name the labels in"
            " a dataset.json beside the masks.",
            path=name,
        )
    there = set(np.unique(labels).tolist()) - {0}
    names = {number: named.get(number, "") for number in sorted({*named, *there})}
    chosen, notes = choose(names, segments, name)
    if chosen < set(names):
        labels = np.where(np.isin(labels, sorted(chosen)), labels, 0)
    return labels, tuple(notes)


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    """Return labels without what rounding in a file's scale added to them.

    Raises:
        DataError: Values further than 0.01 from a whole number, or negative ones.
    """
    if values.dtype.kind in "iu":
        whole, sound = values, values.dtype.kind == "u" or values.min(initial=0) >= 0
    else:
        whole = np.round(values)
        with np.errstate(invalid="ignore"):
            sound = np.isfinite(values).all() and (whole >= 0).all()
            sound = sound and (np.abs(values - whole) <= LABEL_TOLERANCE).all()
    if not sound:
        raise DataError(
            "Expected whole, non-negative labels but got other values. Save the mask as a label "
            "map.",
            path=name,
        )
    return whole


def _check_values(array: np.ndarray, name: str, min_slices: int) -> None:
    if len(array) < min_slices:
        raise DataError(
            f"Expected at least {min_slices} slices but got {len(array)}. Give the whole volume.",
            path=name,
        )
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            raise DataError(
                f"Expected finite intensities but got {int(bad.sum())} NaN or infinite voxels. "
                "Fill NaN outside the field of view with --nan fill, or replace them with a "
                "number.",
                path=name,
                slice_index=int(np.argmax(bad.any(axis=(1, 2)))),
            )
    if all(part.min() == part.max() == array.flat[0] for part in array):  # stops early
        raise DataError(
            f"Expected an image but got {array.flat[0]:g} in every voxel. Export it again.",
            path=name,
        )


def _without_names(note: str, source: str) -> str:
    """Take the path before a note's text away, what it lists after a colon, and UIDs."""
    text = note.removeprefix(f"{source}: ")
    if text == note:
        text = note.partition(": ")[2] or note
    text = _UID.sub("(UID)", text.partition(": ")[0]).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
