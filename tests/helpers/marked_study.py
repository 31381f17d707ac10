"""DICOM series whose every field holds a marker, and the search for it in what commands leave."""

import gzip
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from dicom_series import write_series
from pydicom import dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

MARKER = "XQZJVMARK"
UID_ROOT = "1.2.826.0.1.3680043.8.498.77665544."
UID_MARKER = "77665544"
DATE = "19310203"
# What says how the voxels lie and are to be read; everything else is marked.
_MEANT = {
    *("SOPClassUID", "Modality", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing"),
    *("ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "PixelData"),
    *("InstanceNumber", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("SOPInstanceUID", "RescaleSlope", "RescaleIntercept", "SpacingBetweenSlices"),
}
_TEXTS = {"LO", "LT", "PN", "SH", "ST", "UC", "UT", "AE"}
_GROUPS = (0x0008, 0x0010, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040)


def mark(path: Path) -> None:
    """Put the marker into all text fields of the usual groups, dates and a private block."""
    data = dcmread(path)
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        if tag >> 16 not in _GROUPS or retired or keyword in _MEANT or not keyword:
            continue
        if vr in _TEXTS:
            setattr(data, keyword, MARKER)
        elif vr == "DA":
            setattr(data, keyword, DATE)
    data.PatientName, data.PatientID = f"{MARKER}^ANNA", f"{MARKER}7"
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = MARKER, MARKER
    data.ProcedureCodeSequence = [inner]
    block = data.private_block(0x0011, MARKER, create=True)
    block.add_new(1, "LO", MARKER)
    # Values that break their type: readers are tempted to quote them.
    data.add_new("PatientAge", "AS", MARKER)
    data.add_new("AcquisitionTime", "TM", MARKER)
    data.add_new("ImageComments", "LT", MARKER * 2000)
    data.file_meta.PrivateInformationCreatorUID = UID_ROOT + "1"
    data.file_meta.PrivateInformation = MARKER.encode()
    data.file_meta.SourceApplicationEntityTitle = MARKER
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID"):
        setattr(data, keyword, generate_uid(UID_ROOT, entropy_srcs=[str(data[keyword].value)]))
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.preamble = (MARKER * 15).encode()[:128]
    data.save_as(path)


def write_study(folder: Path, volumes: dict[str, np.ndarray], spacing) -> None:
    """Write each volume as a marked series of its own folder."""
    for name, array in volumes.items():
        image = sitk.GetImageFromArray(array.astype(np.int16))
        image.SetSpacing(spacing)
        for path in write_series(folder / name, image).iterdir():
            mark(path)


def found_in(folder: Path, *needles: str) -> list[str]:
    """Return the files that hold one of the needles in their name or content, also if zipped."""
    wanted = [form for n in needles for form in (n.encode(), n.encode("utf-16-le"))]
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        content += str(path.relative_to(folder)).encode()
        found += [f"{path.relative_to(folder)}: {n!r}" for n in wanted if n in content]
    return found
