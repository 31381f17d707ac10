"""What OHIF's own library writes: right, or refused by its name."""

import json
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import write_series
from said import says

from data_prep.bookmarks.formats.dicom_labels import read_mask
from data_prep.bookmarks.ignore_regions import ignore_regions
from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.volume import read_volume

SPACINGS = {"square": (0.8, 0.8, 3.0), "oblong": (0.8, 1.25, 3.0)}
# What a tool draws, in pixels of slice 3; lengths in mm are added below.
DRAWN = {
    "Bidirectional": [[10, 10], [22, 10], [16, 7], [16, 13]],
    "Length": [[30, 10], [36, 14]],
    "EllipticalROI": [[10, 10], [10, 20], [6, 15], [14, 15]],
    "CircleROI": [[30, 20], [34, 20]],
    "RectangleROI": [[10, 10], [20, 10], [10, 16], [20, 16]],
    "PlanarFreehandROI": [[10, 10], [20, 10], [20, 20], [10, 20]],
    "ArrowAnnotate": [[30, 10], [35, 16]],
    "Angle": [[10, 10], [20, 10], [20, 20]],
    "Probe": [[30, 10]],
}
NAMES = dict(
    Length="length",
    EllipticalROI="ellipse",
    CircleROI="circle",
    RectangleROI="rectangle",
    PlanarFreehandROI="freehand outline",
    ArrowAnnotate="arrow",
    Angle="angle",
    Probe="point",
)
# Slices and corners of two regions; voxels whose centres lie on an outline belong to it.
REGIONS = (
    ((2, 3), [(20.0, 10.0), (29.0, 10.0), (29.0, 15.0), (20.0, 15.0)]),
    ((5, 6), [(5.0, 30.0), (11.0, 30.0), (11.0, 33.0), (5.0, 33.0)]),
)
NO_OUTLINE = ("ArrowAnnotate", "Angle", "Probe")


class Written:
    """A series, and what the library writes of `DRAWN` and of two labels on it."""

    def __init__(self, root, spacing, node_packages) -> None:
        image = sitk.GetImageFromArray(np.arange(7 * 40 * 50, dtype=np.int16).reshape(7, 40, 50))
        image.SetSpacing(spacing)
        image.SetOrigin((-12.5, 7.25, 30.0))
        self.root, self.images = root, root / "images"
        files = list(write_series(self.images / "scan", image).iterdir())
        self.volume = read_volume(self.images / "scan", root=self.images)
        by_uid = {str(pydicom.dcmread(file).SOPInstanceUID): str(file) for file in files}

        def mm(points):
            return [
                image.TransformContinuousIndexToPhysicalPoint((*map(float, p), 3.0)) for p in points
            ]

        def annotation(tool):
            pairs = zip(DRAWN[tool][::2], DRAWN[tool][1::2], strict=False)
            lengths = [float(np.hypot(*(np.subtract(b, a) * spacing[:2]))) for a, b in pairs]
            stats = {"unit": "mm", "area": 50, "radius": 4, "angle": 90}
            return {
                "tool": tool,
                "image": 3,
                "points": mm(DRAWN[tool]),
                "contour": {"polyline": mm(DRAWN[tool]), "closed": True},
                "stats": {**stats, **dict(zip(("length", "width"), lengths, strict=False))},
                "text": mm([[45, 35]])[0],
                "label": "node",
            }

        self.labels = np.zeros((7, 40, 50), np.uint8)
        self.labels[2:4, 10:16, 20:30], self.labels[5:7, 30:34, 5:12] = 1, 2
        self.labels[3, 11, 22:25] = 0
        cases = {
            "images": [by_uid[uid] for uid in self.volume.slice_uids],
            "reports": [
                {
                    "path": str(root / f"{tool}_{frame}"),
                    "in_mm": frame == "mm",
                    "annotations": [annotation(tool)],
                }
                for tool in DRAWN
                for frame in ("mm", "px")
            ],
            "segmentations": [
                {
                    "path": str(root / kind),
                    "labelmap": kind == "labelmap",
                    "labels": self.labels.reshape(7, -1).tolist(),
                }
                for kind in ("binary", "labelmap")
            ],
            "structures": [
                {
                    "path": str(root / "structures"),
                    "regions": [
                        {
                            "label": f"Lesion {number}",
                            "contours": [
                                {
                                    "image": z,
                                    "points": [
                                        image.TransformContinuousIndexToPhysicalPoint((x, y, z))
                                        for x, y in corners
                                    ],
                                }
                                for z in slices
                            ],
                        }
                        for number, (slices, corners) in enumerate(REGIONS, start=1)
                    ],
                }
            ],
        }
        (root / "cases.json").write_text(json.dumps(cases))
        line = ["node", node_packages / "write_objects.mjs", root / "cases.json"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def read(self, name, **options):
        return read_bookmarks(self.root / name, image_root=self.images, **options)


@pytest.fixture(scope="module", params=SPACINGS)
def written(request, node_packages, tmp_path_factory):
    return Written(tmp_path_factory.mktemp("ohif"), SPACINGS[request.param], node_packages)


@pytest.fixture(params=["mm", "px"])
def frame(request):
    return request.param


def told(written, frame) -> bool:
    """Say whether places can be told: in pixels, the library swaps unlike spacings."""
    return frame == "mm" or len({*written.volume.spacing_mm[:2]}) == 1


def test_a_bidirectional_is_the_bookmark_that_was_drawn(written, frame):
    found = written.read(f"Bidirectional_{frame}")
    (record,) = found.records
    assert found.errors == [] and record.volume == "scan"
    placed = place(record, written.volume)
    assert placed.slice_index == 3
    assert placed.bookmark.points() == pytest.approx(np.array(DRAWN["Bidirectional"]), abs=1e-3)


@pytest.mark.parametrize("tool", NAMES)
def test_other_tools_are_refused_by_their_names(written, frame, tool):
    found = written.read(f"{tool}_{frame}")
    (error,) = found.errors
    assert says(error, f"{tool}_{frame}, row 1", "a long and a short axis", f"{NAMES[tool]} only")
    assert found.records == [] and found.incomplete_volumes == {"scan"}


@pytest.mark.parametrize("tool", NAMES)
def test_other_tools_become_regions_where_they_were_drawn(written, frame, tool):
    """Neither the place of a text nor the handles of an outline are regions of their own."""
    found = written.read(f"{tool}_{frame}", one_axis="ignore")
    (record,) = found.ignored
    if not told(written, frame) and tool != "Length":
        with pytest.raises(DataError) as caught:
            ignore_regions(record, written.volume)
        assert says(caught.value, f"{tool}_{frame}, row 1", "square pixels", "0.8 x 1.25 mm")
        return
    ((z, pixels),) = ignore_regions(record, written.volume).items()
    assert z == 3 and not pixels[35, 45]
    centre = np.mean(DRAWN[tool], axis=0).round().astype(int)
    x, y = DRAWN[tool][0] if tool in ("CircleROI", *NO_OUTLINE) else centre
    assert pixels[y, x]


@pytest.mark.parametrize("tool", NO_OUTLINE)
def test_what_has_no_outline_is_no_lesion(written, frame, tool):
    found = written.read(f"{tool}_{frame}", one_axis="circle")
    assert found.records == [] and len(found.errors) == 1


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_segmentations(written, kind):
    mask = read_mask(
        written.root / kind, written.volume, root=written.root, allow_empty=False, nifti_form="auto"
    )
    assert np.array_equal(
        sitk.GetArrayFromImage(written.volume.to_source(mask.array)), written.labels
    )
    assert [record.row for record in written.read(kind).records] == [1, 2]


def test_structure_sets(written):
    """They name the series, but not where RTSTRUCT has it."""
    expected = np.zeros((7, 40, 50), np.uint8)
    expected[2:4, 10:16, 20:30], expected[5:7, 30:34, 5:12] = 1, 2
    mask = read_mask(
        written.root / "structures",
        written.volume,
        root=written.root,
        allow_empty=False,
        nifti_form="auto",
    )
    assert np.array_equal(sitk.GetArrayFromImage(written.volume.to_source(mask.array)), expected)
    found = written.read("structures")
    assert [(r.volume, r.row) for r in found.records] == [("scan", 1), ("scan", 2)]
    assert found.errors == []
