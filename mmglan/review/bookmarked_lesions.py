"""Bookmarks of a scan as lesions that the study page can show."""

from __future__ import annotations

from collections.abc import Iterable

from data_prep.bookmarks.locate import PlacedBookmark, place
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset.coco_entries import mask_fields
from data_prep.errors import DataError
from data_prep.pseudo_masks.methods import pseudo_mask
from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Lesion, SliceDetection
from mmglan.detections.measured_axes import measurement_of, rounded


def lesions_of(
    records: Iterable[BookmarkRecord], volume: Volume
) -> tuple[list[Lesion], list[DataError]]:
    """Place bookmarks in their scan and give each its pseudo mask.

    Returns:
        The lesions in the order of the records, and an error for each that cannot be placed.
    """
    lesions, errors = [], []
    for record in records:
        try:
            lesions.append(_lesion(len(lesions) + 1, place(record, volume), volume))
        except DataError as error:
            errors.append(error)
    return lesions, errors


def _lesion(number: int, mark: PlacedBookmark, volume: Volume) -> Lesion:
    z, spacing = mark.slice_index, volume.spacing_mm
    mask = pseudo_mask(volume.array[z], mark.bookmark, spacing_xy=spacing[:2]).mask
    fields = mask_fields(mask)
    x, y, width, height = fields["bbox"]
    centre = (x + (width - 1) / 2, y + (height - 1) / 2, z)
    part = SliceDetection(int(z), tuple(fields["bbox"]), 1.0, fields["segmentation"])
    return Lesion(
        number=number,
        score=1.0,
        probability=None,
        box3d=(int(x), int(y), int(z), int(x + width - 1), int(y + height - 1), int(z)),
        centre_lps=rounded(volume.to_patient_mm([centre])[0]),
        volume_ml=None,
        recist=measurement_of(z, mark.bookmark, volume),
        slices=(part,),
        site=mark.record.site,
    )
