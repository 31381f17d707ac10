"""Writers of valid DICOM MR images of any grid, with UIDs that are the same in each run."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid


def uid(*words) -> str:
    return generate_uid(entropy_srcs=["mmglan-tests", *map(str, words)])


def common(name: str, sop_class: str, instance: str, shape) -> Dataset:
    """Attributes that an image needs; the patient is called so that a leak is seen."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = instance
    data.StudyInstanceUID = uid(name, "study")
    data.SeriesInstanceUID = uid(name, "series")
    data.FrameOfReferenceUID = uid(name, "frame")
    data.PatientName, data.PatientID = "LEAK^NAME", "LEAKID"
    data.PatientBirthDate, data.PatientSex = "19500102", "O"
    data.StudyDate, data.StudyTime, data.StudyID = "20200102", "101112", "1"
    data.AccessionNumber = data.ReferringPhysicianName = data.PositionReferenceIndicator = ""
    data.Modality, data.Manufacturer, data.SeriesNumber = "MR", "maker", 1
    data.Rows, data.Columns = shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    return data


def _plane(image: sitk.Image):
    """Orientation, pixel spacing (rows, columns) and the position of each slice."""
    direction = np.array(image.GetDirection()).reshape(3, 3)
    orientation = [round(float(v), 9) for v in (*direction[:, 0], *direction[:, 1])]
    spacing = [float(image.GetSpacing()[1]), float(image.GetSpacing()[0])]
    points = [
        image.TransformContinuousIndexToPhysicalPoint((0.0, 0.0, float(k)))
        for k in range(image.GetSize()[2])
    ]
    return orientation, spacing, [[round(float(v), 6) for v in point] for point in points]


def write_series(folder: Path, image: sitk.Image) -> Path:
    """Write one file per slice of the image."""
    folder.mkdir(parents=True)
    array = sitk.GetArrayFromImage(image).astype("<i2")
    orientation, spacing, positions = _plane(image)
    for k, position in enumerate(positions):
        data = common(folder.name, MRImageStorage, uid(folder.name, k), array.shape[1:])
        data.InstanceNumber = k + 1
        data.ImageOrientationPatient, data.PixelSpacing = orientation, spacing
        data.ImagePositionPatient, data.SliceThickness = position, float(image.GetSpacing()[2])
        data.PixelData = array[k].tobytes()
        # The names are not in the order of the slices.
        data.save_as(folder / f"IM{k * 7 % len(array):03d}_{k}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(path: Path, image: sitk.Image) -> Path:
    """Write one multi-frame file; its frames are not in the order of the slices."""
    array = sitk.GetArrayFromImage(image).astype("<i2")
    orientation, spacing, positions = _plane(image)
    order = [*range(0, len(array), 2), *range(1, len(array), 2)]
    data = common(path.stem, EnhancedMRImageStorage, uid(path.stem, "image"), array.shape[1:])
    data.InstanceNumber, data.NumberOfFrames = 1, len(array)
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = spacing, float(image.GetSpacing()[2])
    plane.ImageOrientationPatient = orientation
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for k in order:
        place, content, group = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = positions[k]
        content.StackID, content.InStackPositionNumber = "1", k + 1
        group.PlanePositionSequence, group.FrameContentSequence = [place], [content]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.PixelData = array[order].tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
