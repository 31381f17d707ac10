"""The files that findings are written to: one module per format, all listed in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from data_prep.volumes.dicom.source import SourceSlice
from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Findings
from mmglan.inference.outputs import (
    dicom_seg,
    dicom_sr,
    label_map,
    overlays,
    slicer_markups,
    tables,
)
from mmglan.inference.outputs.dicom_identity import warning_text
from mmglan.review.embedded_volume import EmbeddedVolume, embed
from mmglan.review.study_page import build_page

# Beside every kind of file: not all have room for text, and some stay away without a lesion.
WARNINGS_FILE = "warnings.txt"


@dataclass(frozen=True, eq=False)
class Result:
    """What there is to write of one scan.

    Attributes:
        findings: What was found.
        labels: Axial label map `(Z, Y, X)`.
        volume: The scan.
        sources: Its DICOM images, one per stored slice; empty for other formats.
        seg_type: Type of the DICOM segmentation, one of `dicom_seg.TYPES`.
        packed: What `make_ahead` made of the scan, if it was called.
    """

    findings: Findings
    labels: np.ndarray
    volume: Volume
    sources: Sequence[SourceSlice] = ()
    seg_type: str = "binary"
    packed: EmbeddedVolume | None = None


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        file_name: Its name in the folder of a scan; of several files, that of their folder.
        make: Returns the file's bytes, or those of several files by name; None where there is
            nothing to write (a segmentation without a segment).
        needs_dicom: Whether the scan has to be a DICOM series.
    """

    file_name: str
    make: Callable[[Result], bytes | Mapping[str, bytes] | None]
    needs_dicom: bool = False


FORMATS: dict[str, Format] = {
    "json": Format("findings.json", lambda r: tables.json_of(r.findings)),
    "csv": Format("findings.csv", lambda r: tables.csv_of(r.findings)),
    "labels": Format(
        "labels.nii.gz",
        lambda r: label_map.nifti_of(r.labels, r.volume, warning_text(r.findings)),
    ),
    "slicer": Format("findings.mrk.json", lambda r: slicer_markups.markups_of(r.findings)),
    "coco": Format("detections.segm.json", lambda r: tables.coco_of(r.findings)),
    "overlays": Format("overlays", lambda r: overlays.overlays_of(r.findings, r.volume)),
    "page": Format(
        "findings.html", lambda r: build_page(r.findings, r.volume, packed=r.packed).encode()
    ),
    "dicom-sr": Format(
        "findings.sr.dcm", lambda r: dicom_sr.sr_bytes(r.findings, r.volume, r.sources), True
    ),
    "dicom-seg": Format(
        "findings.seg.dcm",
        lambda r: dicom_seg.seg_bytes(r.findings, r.labels, r.volume, r.sources, r.seg_type),
        True,
    ),
}


def make_ahead(volume: Volume, formats: Collection[str]) -> EmbeddedVolume | None:
    """Make what a format needs of the scan alone, while its lesions are still looked for."""
    return embed(volume.array) if "page" in formats else None


def make_files(result: Result, formats: Collection[str]) -> dict[str, bytes]:
    """Make all files of a scan before any is written, so that none is written if one fails.

    Two at a time: compression leaves Python to others.

    Args:
        result: What there is to write.
        formats: Names in `FORMATS`.

    Returns:
        Content by file name, with `WARNINGS_FILE` where there are warnings.
    """
    files: dict[str, bytes] = {}
    if result.findings.warnings:
        files[WARNINGS_FILE] = "".join(f"{text}\n" for text in result.findings.warnings).encode()
    kinds = [kind for name, kind in FORMATS.items() if name in formats]
    with ThreadPoolExecutor(2) as pool:
        contents = list(pool.map(lambda kind: kind.make(result), kinds))
    for kind, made in zip(kinds, contents, strict=True):
        if isinstance(made, Mapping):
            files |= {f"{kind.file_name}/{inner}": content for inner, content in made.items()}
        elif made is not None:
            files[kind.file_name] = made
    return files
