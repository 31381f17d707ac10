"""Which DICOM volumes and reports are of one patient, without keeping the patient's ID.

The ID is hashed with a key that is drawn in each process and never stored: equal hashes mean
equal patients within one run, and nobody can find the ID by trying.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from pydicom.dataset import Dataset

from data_prep.errors import DataError
from data_prep.paths import without_series
from data_prep.volumes.any_format import slice_folder
from data_prep.volumes.dicom.folder import lies_beside
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.dicom.series_index import files_of_series
from data_prep.volumes.search.file_names import suffix_of
from data_prep.volumes.stored import only_data_errors

_KEY = secrets.token_bytes(32)
# What anonymisers write for every patient alike.
_PLACEHOLDERS = (
    *("", "0", "00", "000", "anon", "anonym", "anonymous", "anonymized", "anonymised", "none"),
    *("unknown", "removed", "deidentified", "de-identified", "patient", "patientid", "na", "n/a"),
)


def key_of_header(header: Dataset) -> str | None:
    """Return the keyed hash of a header's patient; None if it states none.

    After a colon that of the ID's issuer follows, if it is stated.
    """
    patient, issuer = (
        str(header.get(name, "") or "").strip() for name in ("PatientID", "IssuerOfPatientID")
    )
    if patient.lower() in _PLACEHOLDERS:
        return None
    return ":".join(_hash(text) for text in (patient, issuer) if text)


def _hash(text: str) -> str:
    return hmac.new(_KEY, text.encode(), hashlib.sha256).hexdigest()


def header_of_volume(root: str | os.PathLike, volume: str) -> Dataset | None:
    """Return the header of the first image of a volume; None if it is no DICOM, or broken.

    Args:
        root: Folder of the volumes.
        volume: Path relative to it, `folder#UID` for one series.
    """
    base = without_series(volume)
    if suffix_of(base):
        return None
    series = volume[len(base) + 1 :]
    try:
        with only_data_errors(volume):
            for path in _files(Path(root, base), series):
                if lies_beside(path.name) or not is_dicom(path):
                    continue
                header = read_header(path, path.name)
                key_of_header(header)  # its elements are decoded when they are asked for
                if "Rows" in header and series in ("", str(header.get("SeriesInstanceUID", ""))):
                    return header
    except DataError:
        pass  # the reader of the volume says so
    return None


def _files(path: Path, series: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    if series:
        return files_of_series(slice_folder(path), series)
    return sorted(p for p in slice_folder(path).iterdir() if p.is_file())
