"""The page on the files of findings names every field of the record and every column."""

import re
from dataclasses import fields

from mmglan.detections import findings


def test_the_page_names_the_whole_schema(repository):
    page = (repository / "docs/findings_files.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+)`", page))
    kinds = (
        findings.Findings,
        findings.ScanGeometry,
        findings.Lesion,
        findings.RecistMeasurement,
        findings.SliceDetection,
    )
    assert {field.name for kind in kinds for field in fields(kind)} <= named
    assert f"## findings.json, schema {findings.SCHEMA}\n" in page
