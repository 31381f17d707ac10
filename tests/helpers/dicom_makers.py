"""Makers of DICOM objects beside images, for tests of their readers."""

import contextlib
import warnings

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid


def identity(series_number: int) -> dict:
    """Arguments of highdicom that say which object this is and what made it."""
    return dict(
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    )


def segmentation(sources, masks, path, kind="BINARY", labels=("node 1", "node 2")):
    def segment(number):
        return hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=labels[number - 1],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type="MANUAL",
        )

    hd.seg.Segmentation(
        source_images=sources,
        pixel_array=masks if kind != "LABELMAP" else (masks * [1, 2]).sum(-1).astype(np.uint8),
        segmentation_type=kind,
        segment_descriptions=[segment(1), segment(2)],
        **identity(7),
    ).save_as(path)
    return path


def dataset(sop_class, source):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PatientID = source.get("PatientID", "")
    return data


def item(**fields):
    data = Dataset()
    for name, value in fields.items():
        setattr(data, name, value)
    return data


def structure_set(source, regions, names=(), interpreted=()):
    """Return a structure set of regions of one contour each: its kind, and its points in mm.

    There may be more names than regions: those are regions without contours.
    """
    data = dataset("1.2.840.10008.5.1.4.1.1.481.3", source)
    one = item(SeriesInstanceUID=source.SeriesInstanceUID)
    study = item(RTReferencedSeriesSequence=[one])
    data.ReferencedFrameOfReferenceSequence = [item(RTReferencedStudySequence=[study])]
    contours = [
        item(
            ContourGeometricType=kind,
            NumberOfContourPoints=len(points),
            ContourData=[f"{value:.6f}" for value in np.ravel(points)],
        )
        for kind, points in regions
    ]
    data.ROIContourSequence = [
        item(ReferencedROINumber=number, ContourSequence=[contour])
        for number, contour in enumerate(contours, start=1)
    ]
    data.StructureSetROISequence = [
        item(ROINumber=number, ROIName=name) for number, name in enumerate(names, start=1)
    ]
    data.RTROIObservationsSequence = [
        item(ReferencedROINumber=number, RTROIInterpretedType=kind)
        for number, kind in enumerate(interpreted, start=1)
    ]
    return data


def presentation_state(sources, lines):
    """Return a presentation state of lines: the number of their image, and two pixels each."""
    data = dataset("1.2.840.10008.5.1.4.1.1.11.1", sources[0])
    images = [
        item(ReferencedSOPClassUID=s.SOPClassUID, ReferencedSOPInstanceUID=s.SOPInstanceUID)
        for s in sources
    ]
    data.ReferencedSeriesSequence = [
        item(SeriesInstanceUID=sources[0].SeriesInstanceUID, ReferencedImageSequence=images)
    ]
    data.GraphicAnnotationSequence = [
        item(
            ReferencedImageSequence=[images[number]],
            GraphicObjectSequence=[
                item(
                    GraphicAnnotationUnits="PIXEL",
                    GraphicDimensions=2,
                    NumberOfGraphicPoints=2,
                    GraphicData=[float(v) + 0.5 for v in np.ravel(points)],
                    GraphicType="POLYLINE",
                    GraphicFilled="N",
                )
            ],
        )
        for number, points in lines
    ]
    return data


def with_values(path, edits) -> bool:
    """Change values of a file in place, by (place among its elements, value), where they fit.

    False if it then cannot be written.
    """
    content = pydicom.dcmread(path)
    elements = [e for e in content.iterall() if e.VR not in ("OB", "OW")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for at, value in edits:
            with contextlib.suppress(TypeError, ValueError, AttributeError):
                elements[at % len(elements)].value = value
        try:
            content.save_as(path)
        except Exception:  # what pydicom itself cannot write
            return False
    return True
