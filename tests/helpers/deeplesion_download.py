"""A small DeepLesion in the layout and syntax of the download: PNG slices, DL_info, sub-volumes."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import cv2
import numpy as np

COLUMNS = (
    *("File_name", "Patient_index", "Study_index", "Series_ID", "Key_slice_index"),
    *("Measurement_coordinates", "Bounding_boxes", "Lesion_diameters_Pixel_"),
    *("Normalized_lesion_location", "Coarse_lesion_type", "Possibly_noisy", "Slice_range"),
    *("Spacing_mm_px_", "Image_size", "DICOM_windows", "Patient_gender", "Patient_age"),
    "Train_Val_Test",
)
SIZE = 64


def split_of(patient: int) -> int:
    """Return DeepLesion's number of the split: of 12 patients 6, 3 and 3."""
    return 1 if patient <= 6 else 2 if patient <= 9 else 3


def write(root: Path, patients: int = 12) -> Path:
    """Write the download.

    Each patient has a series of slices 5 to 13 with key slice 9; each third one also a series with
    the blocks 20 to 26 and 40 to 46 and a key slice in each. All three volumes are sub-volumes of
    the patients of the test split. A lesion covers columns 20 to 31, rows 24 to 31 and one slice on
    either side of the key slice; sub-volumes hold a second one that is not bookmarked.
    """
    rng = np.random.default_rng(0)
    rows, labelled = [], {}
    for patient in range(1, patients + 1):
        series = {f"{patient:06d}_01_01": [(5, 13)]}
        if patient % 3 == 0:
            series[f"{patient:06d}_02_03"] = [(20, 26), (40, 46)]
        for folder, blocks in series.items():
            (root / "Images_png" / folder).mkdir(parents=True)
            for first, last in blocks:
                key = (first + last) // 2
                for number in range(first, last + 1):
                    pixels = 32768 + rng.integers(-90, -20, (SIZE, SIZE))
                    if abs(number - key) <= 1:
                        pixels[24:32, 20:32] += 150
                        pixels[40:50, 44:56] += 150
                    cv2.imwrite(
                        str(root / f"Images_png/{folder}/{number:03d}.png"),
                        pixels.astype(np.uint16),
                    )
                rows.append(_row(folder, key, patient))
                if split_of(patient) == 3:
                    boxes = [[20, 24, key - 1, 31, 31, key + 1], [44, 40, key - 1, 55, 49, key + 1]]
                    name = f"{folder}_{first:03d}-{last:03d}"
                    labelled[name] = np.array(boxes, np.float64)
    with open(root / "DL_info.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows)
    content = {"val": {}, "test": labelled}
    (root / "annotations.pkl").write_bytes(pickle.dumps(content, protocol=3))
    return root


def _row(folder: str, key: int, patient: int) -> list:
    study, number = folder.split("_")[1:]
    # 1-based: the axes of columns 20 to 31 (21 to 32 there) and rows 24 to 31.
    points = "21, 28.5, 32, 28.5, 26.5, 25, 26.5, 32"
    values = [f"{folder}_{key:03d}.png", patient, int(study), int(number), key, points]
    values += ["16, 20, 37, 37", "11, 7", "0.4, 0.4, 0.5", 1 + patient % 8, 0, "5, 13"]
    values += ["0.8, 0.8, 5", f"{SIZE}, {SIZE}", "-175, 275", "F", 60, split_of(patient)]
    return values
