"""One scan with two bright lesions in many storages, and a detector that sees bright spots."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pydicom
import SimpleITK as sitk
from dicom_series import write_enhanced, write_series
from scipy import ndimage

from mmglan.inference.linking import Detections2D
from mmglan.inference.soft_masks import SoftMask

LEVEL = 600


@dataclass
class BrightSpots:
    """Stands in for a network: every spot above `level` on a slice, with a soft outline."""

    level: float = LEVEL
    least: int = 1
    classes: tuple[str, ...] = ("lesion",)

    def detect(self, array):
        for z, image in enumerate(array):
            pieces, _ = ndimage.label(image > self.level)
            boxes, scores, masks = [], [], []
            for number, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
                spot = pieces == number
                if spot.sum() < self.least:
                    continue
                boxes.append((columns.start, rows.start, columns.stop, rows.stop))
                scores.append(0.5 + 0.4 * image[spot].mean() / (image[spot].mean() + self.level))
                soft = ndimage.gaussian_filter(spot.astype(float), 0.5)
                masks.append(SoftMask.of(np.round(255 * soft).astype(np.uint8)))
            yield (
                z,
                Detections2D(
                    np.array(boxes, float).reshape(-1, 4),
                    np.array(scores, float),
                    np.zeros(len(boxes), int),
                    masks,
                ),
            )


def spots(size=(30, 26, 12), spacing=(0.8, 1.1, 2.5)) -> sitk.Image:
    """Two tilted ellipsoids, 900 and 800 bright, on noise."""
    z, y, x = np.mgrid[: size[2], : size[1], : size[0]].astype(float)
    array = np.random.default_rng(0).integers(0, 200, size[::-1]).astype(np.int16)
    u, v = (x - 9) + 0.5 * (y - 8), (y - 8) - 0.5 * (x - 9)
    array[(u / 6) ** 2 + (v / 3) ** 2 + ((z - 4) / 2.2) ** 2 < 1] = 900
    array[((x - 21) / 3) ** 2 + ((y - 17) / 5) ** 2 + ((z - 8) / 1.6) ** 2 < 1] = 800
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-11.0, 7.5, 30.0))
    return image


ROTATION = sitk.VersorTransform((0.2, 0.5, 1.0), 0.3).GetMatrix()


def rotated(image: sitk.Image) -> sitk.Image:
    """Turn the patient: the same voxels on an oblique grid."""
    turn = np.array(ROTATION).reshape(3, 3)
    other = sitk.Image(image)
    other.SetDirection((turn @ np.array(image.GetDirection()).reshape(3, 3)).ravel().tolist())
    other.SetOrigin((turn @ image.GetOrigin()).tolist())
    return other


STORAGES = {
    "nifti": lambda image: image,
    "axial": lambda image: image,
    "sagittal": lambda image: sitk.PermuteAxes(image, [1, 2, 0]),
    "coronal": lambda image: sitk.PermuteAxes(image, [2, 0, 1]),
    "flipped": lambda image: sitk.Flip(image, [True, False, True]),
    "oblique": rotated,
    "enhanced": lambda image: image,
    "enhanced_sagittal": lambda image: sitk.PermuteAxes(image, [1, 2, 0]),
}
DICOM = [name for name in STORAGES if name != "nifti"]


def store(image: sitk.Image, storage: str, folder):
    """Write the image in a storage and return what to read."""
    stored = STORAGES[storage](image)
    if storage == "nifti":
        folder.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(stored, str(folder / "scan.nii.gz"))
        return folder / "scan.nii.gz"
    if storage.startswith("enhanced"):
        return write_enhanced(folder / f"{storage}.dcm", stored)
    return write_series(folder / storage, stored)


def labels_of_seg(content: bytes, sources, shape) -> np.ndarray:
    """Read a BINARY segmentation by the images that its frames refer to, on the stored grid."""
    data = pydicom.dcmread(io.BytesIO(content))
    labels = np.zeros(shape, np.uint16)
    places = {(str(s.header.SOPInstanceUID), s.frame): k for k, s in enumerate(sources)}
    for pixels, group in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        frame = source.get("ReferencedFrameNumber")
        k = places[str(source.ReferencedSOPInstanceUID), None if frame is None else int(frame)]
        labels[k][pixels > 0] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return labels
