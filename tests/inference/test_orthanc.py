"""A PACS takes the results of a study that it sent, and finds them in the same study."""

import json
import socket
import subprocess
import time
from pathlib import Path
from shutil import which
from urllib.error import URLError
from urllib.request import Request, urlopen

import pydicom
import pytest
from scan_storages import spots, store

from mmglan.inference import scan_job
from mmglan.inference.scan_job import DetectorOptions, ScanTask, run_scan

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
NEEDED = {"Orthanc": "orthanc", "storescu": "dcmtk"}


class Pacs:
    """Orthanc on this machine, with DICOM and DICOMweb on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.dicom, self.http = _free_port(), _free_port()
        settings = {
            "Name": "tests",
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "DicomPort": self.dicom,
            "HttpPort": self.http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True},
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        with open(folder / "orthanc.log", "w") as log:
            self.process = subprocess.Popen(
                ["Orthanc", folder / "orthanc.json"], stdout=log, stderr=log
            )

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.get("/system")
                return
            except URLError:
                assert self.process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str, kind: str = "application/json") -> bytes:
        request = Request(f"http://127.0.0.1:{self.http}{path}", headers={"Accept": kind})
        with urlopen(request, timeout=30) as answer:
            return answer.read()

    def query(self, path: str):
        """Ask DICOMweb."""
        return json.loads(self.get(f"/dicom-web{path}", "application/dicom+json"))

    def store(self, *files: Path) -> None:
        """Send files by C-STORE."""
        send = ["storescu", "--required", "127.0.0.1", str(self.dicom), *map(str, files)]
        done = subprocess.run(send, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def export(self, folder: Path) -> None:
        """Write all images as files."""
        folder.mkdir()
        for name in json.loads(self.get("/instances")):
            (folder / f"{name}.dcm").write_bytes(self.get(f"/instances/{name}/file"))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def pacs(tmp_path):
    missing = [package for program, package in NEEDED.items() if which(program) is None]
    if not PLUGIN.exists():
        missing.append("orthanc-dicomweb")
    if missing:
        pytest.skip(f"Debian packages not installed: {', '.join(missing)}")
    (tmp_path / "pacs").mkdir()
    pacs = Pacs(tmp_path / "pacs")
    try:
        pacs.wait()
        yield pacs
    finally:
        pacs.stop()


def values(entry: dict, tag: str) -> list:
    return entry.get(tag, {}).get("Value", [])


@pytest.mark.parametrize("storage", ["axial", "enhanced_sagittal"])
def test_results_are_found_in_the_study(pacs, detector, tmp_path, monkeypatch, storage):
    monkeypatch.setattr(scan_job, "detector_of", lambda options: detector)
    scan = store(spots(), storage, tmp_path / "modality")
    images = sorted(scan.iterdir()) if scan.is_dir() else [scan]
    pacs.store(*images)
    pacs.export(tmp_path / "exported")
    task = ScanTask(
        tmp_path, "exported", "v0001", tmp_path / "findings", DetectorOptions("stub", "stub")
    )
    outcome = run_scan(task)
    assert (outcome.error, outcome.lesions) == (None, 2)
    results = [task.folder / "findings.sr.dcm", task.folder / "findings.seg.dcm"]
    pacs.store(*results)

    sources = {str(pydicom.dcmread(file).SOPInstanceUID) for file in images}
    (study,) = pacs.query("/studies?includefield=ModalitiesInStudy")
    assert sorted(values(study, "00080061")) == ["MR", "SEG", "SR"]
    (uid,) = values(study, "0020000D")
    series = {values(s, "00080060")[0]: s for s in pacs.query(f"/studies/{uid}/series")}
    assert set(series) == {"MR", "SEG", "SR"}
    for kind, file in zip(("SR", "SEG"), results, strict=True):
        (one,) = values(series[kind], "0020000E")
        (metadata,) = pacs.query(f"/studies/{uid}/series/{one}/metadata")
        written = pydicom.dcmread(file)
        assert values(metadata, "00080018") == [written.SOPInstanceUID]
        assert values(metadata, "00100020") == ["LEAKID"]
        found = set(referenced(metadata))
        assert found == sources
        assert values(metadata, "0020000D") == [uid]


def referenced(metadata: dict) -> list[str]:
    """All ReferencedSOPInstanceUIDs at any depth."""
    data = pydicom.Dataset.from_json(metadata)
    return [str(e.value) for e in data.iterall() if e.keyword == "ReferencedSOPInstanceUID"]
