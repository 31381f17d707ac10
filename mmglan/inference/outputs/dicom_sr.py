"""Findings as a DICOM structured report: one TID 1501 group with two measured axes per lesion.

The report is valid TID 1500 and opens in OHIF with editable bidirectional measurements. For that,
the tracking identifier begins with Cornerstone's name of the tool, the two axes are coded with the
meanings `Long Axis` and `Short Axis`, and nothing else in the group has coordinates.

The axes lie on axial slices. Where these are the stored images (axial and tilted axial stacks) an
axis is a SCOORD polyline on its image, in which the centre of pixel i is i + 0.5. In sagittal and
coronal stacks no stored image holds the axes: there they are SCOORD3D polylines in mm. So they are
where pixels are not square: Cornerstone3D mistakes the two spacings in SCOORD (cornerstone3D#2758).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    CoordinatesForMeasurement3D,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import Code, codes

from data_prep.volumes.dicom.source import SourceSlice, images_of
from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Findings, Lesion
from mmglan.inference.outputs import dicom_identity as identity

# Cornerstone compares the meanings, pydicom's own are spelled in another way.
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
TOOL = "Cornerstone3DTools@^0.1.0:Bidirectional"
_PROBABILITY = Code("126402", "DCM", "Probability of abnormality")
_PERCENT = Code("%", "UCUM", "Percent")
_MILLILITER = Code("mL", "UCUM", "milliliter")
_VOLUME = Code("118565006", "SCT", "Volume")


def make_sr(
    findings: Findings, volume: Volume, sources: Sequence[SourceSlice]
) -> ComprehensiveSR | Comprehensive3DSR:
    """Make a report of the lesions that have axes.

    Args:
        findings: What was found.
        volume: The scan.
        sources: Its images, one per stored slice.

    Returns:
        The report, in the study of the images; lesions without a mask have no axes and are not in.
    """
    images = identity.result_images(sources)
    first = images[0]
    i, j, _ = volume.grid.spacing
    # An axial slice is a stored image, and OHIF draws on it where it should.
    stored = volume.grid.axes[2] == 2 and abs(i - j) < 1e-3 * min(i, j) / max(volume.stored_size)
    kind = ComprehensiveSR if stored else Comprehensive3DSR
    measured = [lesion for lesion in findings.lesions if lesion.recist is not None]
    groups = [_group(findings, lesion, volume, sources, stored) for lesion in measured]
    key = (first.SeriesInstanceUID, identity.findings_key(findings), "sr")
    device = DeviceObserverIdentifyingAttributes(
        uid=identity.derived_uid("device", identity.model_name(findings)),
        name=identity.model_name(findings),
        manufacturer_name=identity.MANUFACTURER,
        model_name=identity.model_name(findings),
    )
    context = ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))
    content = MeasurementReport(
        observation_context=context,
        procedure_reported=Code("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=groups or None,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=_library(measured, volume, sources) or None,
    )
    if findings.warnings:
        content[0].ContentSequence.append(_comment(identity.warning_text(findings)))
    report = kind(
        evidence=images,
        content=content[0],
        series_instance_uid=identity.derived_uid(*key, "series"),
        series_number=9001,
        sop_instance_uid=identity.derived_uid(*key, "instance"),
        instance_number=1,
        manufacturer=identity.MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    report.SeriesDescription = "Lesions (measurements)"
    identity.keep_required(report)
    identity.fix_dates(report, first)
    return report


def sr_bytes(findings: Findings, volume: Volume, sources: Sequence[SourceSlice]) -> bytes:
    """Return the file of `make_sr`."""
    return identity.file_bytes(make_sr(findings, volume, sources))


def _group(
    findings: Findings,
    lesion: Lesion,
    volume: Volume,
    sources: Sequence[SourceSlice],
    stored: bool,
) -> MeasurementsAndQualitativeEvaluations:
    first = sources[0].header
    recist = lesion.recist
    axes = (
        (LONG_AXIS, recist.long_axis_mm, recist.long_axis, recist.long_axis_lps),
        (SHORT_AXIS, recist.short_axis_mm, recist.short_axis, recist.short_axis_lps),
    )
    measurements = []
    for code, length, pixels, lps in axes:
        if stored:
            source = _source_of(lesion, volume, sources)
            coordinates = _on_image(pixels, recist.slice_index, volume, source)
        else:
            coordinates = CoordinatesForMeasurement3D(
                "POLYLINE", np.array(lps), first.FrameOfReferenceUID
            )
        measurements.append(
            Measurement(
                code, round(length, 4), codes.UCUM.Millimeter, referenced_coordinates=[coordinates]
            )
        )
    if lesion.probability is not None:
        measurements.append(Measurement(_PROBABILITY, round(100 * lesion.probability, 2), _PERCENT))
    if lesion.volume_ml is not None:
        measurements.append(Measurement(_VOLUME, round(lesion.volume_ml, 4), _MILLILITER))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=identity.tracking_uid(first, findings, lesion),
            identifier=f"{TOOL}:lesion-{lesion.number}",
        ),
        finding_type=identity.LESION,
        finding_sites=[FindingSite(identity.LYMPH_NODE)] if lesion.site else None,
        algorithm_id=AlgorithmIdentification(
            name=identity.model_name(findings), version=identity.model_version(findings)
        ),
        measurements=measurements,
        source_images=[
            SourceImageForMeasurementGroup(*_reference(_source_of(lesion, volume, sources)))
        ]
        if stored
        else None,
    )


def _comment(text: str) -> ContainerContentItem:
    """Return a text about the whole report, among the qualitative evaluations of TID 1500."""
    container = ContainerContentItem(
        Code("C0034375", "UMLS", "Qualitative Evaluations"),
        relationship_type=RelationshipTypeValues.CONTAINS,
    )
    comment = TextContentItem(codes.DCM.Comment, text, RelationshipTypeValues.CONTAINS)
    container.ContentSequence = ContentSequence([comment])
    return container


def _library(
    lesions: Sequence[Lesion], volume: Volume, sources: Sequence[SourceSlice]
) -> list[Dataset]:
    """Return the images with findings; that of all images takes seconds to make.

    It is made of what stands at the top of a header: multi-frame files have none.
    """
    on = [_source_of(lesion, volume, sources) for lesion in lesions]
    return images_of([source for source in on if source.frame is None])


def _source_of(lesion: Lesion, volume: Volume, sources: Sequence[SourceSlice]) -> SourceSlice:
    """Return the image that holds the middle of the long axis."""
    x, y = np.mean(lesion.recist.long_axis, axis=0)
    index = volume.grid.stored_index(np.array([[x, y, lesion.recist.slice_index]]))
    return sources[round(float(index[0, 2]))]


def _on_image(pixels, z: int, volume: Volume, source: SourceSlice) -> CoordinatesForMeasurement:
    index = volume.grid.stored_index(np.array([[x, y, float(z)] for x, y in pixels]))
    image = SourceImageForRegion(*_reference(source))
    return CoordinatesForMeasurement("POLYLINE", index[:, :2] + 0.5, image)


def _reference(source: SourceSlice) -> tuple[str, str, list[int] | None]:
    header, frame = source.header, source.frame
    return header.SOPClassUID, header.SOPInstanceUID, None if frame is None else [frame]
