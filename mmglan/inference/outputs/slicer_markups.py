"""Findings as 3D Slicer markups: two lines per lesion, which the bookmark reader pairs again."""

from __future__ import annotations

from data_prep.atomic_files import json_bytes
from mmglan.detections.findings import Findings

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)


def markups_of(findings: Findings) -> bytes:
    """Return a `.mrk.json` file in mm, LPS; lesions without axes are not in it."""
    lines = []
    for lesion in findings.lesions:
        if lesion.recist is None:
            continue
        for axis, ends in (
            ("long", lesion.recist.long_axis_lps),
            ("short", lesion.recist.short_axis_lps),
        ):
            name = f"lesion-{lesion.number} {axis}"
            lines.append(_line(name, ends, " ".join(findings.warnings)))
    return json_bytes({"@schema": _SCHEMA, "markups": lines})


def _line(name: str, ends, description: str) -> dict:
    points = [
        {
            "id": str(number),
            "label": f"{name} {number}",
            "description": description,
            "position": list(point),
            "positionStatus": "defined",
            "selected": True,
            "locked": False,
            "visibility": True,
        }
        for number, point in enumerate(ends, start=1)
    ]
    return {
        "type": "Line",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "labelFormat": "%N-%d",
        "name": name,
        "controlPoints": points,
    }
