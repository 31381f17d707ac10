"""Findings as a DICOM segmentation: one segment per lesion on the images of the scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from pydicom.sr.codedict import Code

from data_prep.volumes.dicom.source import SourceSlice
from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Findings
from mmglan.inference.outputs import dicom_identity as identity

TYPES = ("binary", "labelmap")
_ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
_ABNORMALITY = Code("49755003", "SCT", "Morphologically Altered Structure")


def make_seg(
    findings: Findings,
    labels: np.ndarray,
    volume: Volume,
    sources: Sequence[SourceSlice],
    seg_type: str = "binary",
) -> Segmentation:
    """Make a segmentation of the lesions that have a mask.

    Args:
        findings: What was found.
        labels: Axial `(Z, Y, X)`, 0 background, else the lesion's number.
        volume: The scan.
        sources: Its images, one per stored slice.
        seg_type: One of `TYPES`: `binary`, or the newer `labelmap` that not every PACS takes.

    Raises:
        ValueError: No lesion has a mask: a segmentation needs a segment.
    """
    images = identity.result_images(sources)
    first = images[0]
    labelmap = seg_type == "labelmap"
    marked = set(np.unique(labels).tolist()) - {0}
    lesions = [lesion for lesion in findings.lesions if lesion.number in marked]
    if not lesions:
        raise ValueError("Expected at least one lesion with a mask but got none.")
    stored = volume.grid.to_stored(labels)
    if labelmap:
        array = np.zeros(stored.shape, np.uint8 if len(lesions) < 256 else np.uint16)
        for number, lesion in enumerate(lesions, start=1):
            array[stored == lesion.number] = number
    else:
        array = np.stack([stored == lesion.number for lesion in lesions], axis=-1).astype(np.uint8)
    array = _frames_in_file_order(array, sources)
    algorithm = AlgorithmIdentificationSequence(
        name=identity.model_name(findings),
        family=_ARTIFICIAL_INTELLIGENCE,
        version=identity.model_version(findings),
        source=identity.MANUFACTURER,
    )
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=f"Lesion {lesion.number}",
            segmented_property_category=_ABNORMALITY,
            segmented_property_type=identity.LESION,
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=identity.tracking_uid(first, findings, lesion),
            tracking_id=f"lesion-{lesion.number}",
        )
        for number, lesion in enumerate(lesions, start=1)
    ]
    key = (first.SeriesInstanceUID, identity.findings_key(findings), "seg", seg_type)
    result = Segmentation(
        source_images=images,
        pixel_array=array,
        segmentation_type=seg_type.upper(),
        segment_descriptions=segments,
        series_instance_uid=identity.derived_uid(*key, "series"),
        series_number=9002,
        sop_instance_uid=identity.derived_uid(*key, "instance"),
        instance_number=1,
        manufacturer=identity.MANUFACTURER,
        manufacturer_model_name=identity.model_name(findings),
        software_versions=identity.model_version(findings),
        device_serial_number="0",
        content_label="LESIONS",
        content_description="Lesions found by a detector",
        omit_empty_frames=False,
    )
    result.SeriesDescription = "Lesions (segmentation)"
    if findings.warnings:
        result.ImageComments = identity.warning_text(findings)
    dimensions = identity.derived_uid(*key, "dimensions")
    for element in result.iterall():
        if element.keyword == "DimensionOrganizationUID":
            element.value = dimensions
    identity.keep_required(result)
    identity.fix_dates(result, first)
    return result


def seg_bytes(
    findings: Findings,
    labels: np.ndarray,
    volume: Volume,
    sources: Sequence[SourceSlice],
    seg_type: str = "binary",
) -> bytes | None:
    """Return the file of `make_seg`; None where no lesion has a mask."""
    if not labels.any():
        return None
    return identity.file_bytes(make_seg(findings, labels, volume, sources, seg_type))


def _frames_in_file_order(array: np.ndarray, sources: Sequence[SourceSlice]) -> np.ndarray:
    """Sort stored slices of a multi-frame file by frame, as its header lists them."""
    if sources[0].frame is None:
        return array
    order = np.argsort([source.frame for source in sources])
    return array[order]
