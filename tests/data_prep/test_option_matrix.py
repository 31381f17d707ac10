"""Every option of `prepare` with every kind of bookmarks: it works, or it is refused.

`EXPECTED` is the table. Of an option that works the output must differ from that without it, where
the input is such that it has something to do.
"""

import json

import cv2
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_makers import item, presentation_state, segmentation, structure_set

from data_prep.bookmarks.formats.csv_table import MM_COLUMNS, PIXEL_COLUMNS
from data_prep.bookmarks.formats.label_masks import components
from data_prep.prepare import main
from data_prep.volumes.volume import read_volume

OBJECTS = ("seg", "rtstruct", "gsps")
KINDS = ("pixels", "mm", "deeplesion", "slicer", "sr", "masks", *OBJECTS)
DICOM = tuple(kind for kind in KINDS if kind != "deeplesion")  # whose images are DICOM series
# Axes in pixels of slice 2, and a length on slice 6 for --one-axis.
CROSS = np.array([[20.0, 20], [40, 20], [30, 14], [30, 26]])
LENGTH = np.array([[20.0, 40], [32, 40]])
WORKS, REFUSED = "works", "refused"
EXPECTED = {
    # option: what becomes of it by kind; all others are refused.
    ("--one-based",): {"pixels": WORKS},
    ("--frame", "RAS"): {"mm": WORKS},
    ("--bookmark-slices", "all"): {"masks": WORKS, "seg": WORKS, "rtstruct": WORKS},
    ("--bookmark-volume", "other"): dict.fromkeys(("slicer", "sr", "masks", *OBJECTS), WORKS),
    ("--segments", "^node 1"): {"seg": WORKS, "rtstruct": WORKS, "masks": "no names"},
    ("--binary-masks",): {"masks": WORKS, "seg": WORKS, "rtstruct": WORKS},
    ("--series-description", "t2"): dict.fromkeys(KINDS, "no volume"),
    ("--modality", "PT"): dict.fromkeys(KINDS, "no volume"),
    ("--modality", "MR"): dict.fromkeys(DICOM, "no change") | {"deeplesion": "no volume"},
    ("--series-rule", "all"): dict.fromkeys(KINDS, "no change"),
    ("--nifti-form", "qform"): dict.fromkeys(KINDS, "no change"),
    ("--nan", "fill"): dict.fromkeys(KINDS, "no change"),
    ("--one-axis", "ignore"): dict.fromkeys(KINDS, WORKS),
    ("--one-axis", "circle"): dict.fromkeys(KINDS, WORKS)
    | dict.fromkeys(("masks", "seg", "rtstruct"), "left out"),
    ("--patient-pattern", "^(s)"): dict.fromkeys(KINDS, WORKS),
    ("--keep-empty", "slices"): dict.fromkeys(KINDS, WORKS),
    ("--max-empty", "2"): {},
    ("--mask-method", "paper", "--grabcut-iterations", "2"): dict.fromkeys(KINDS, WORKS),
    ("--mask-method", "ellipse", "--grabcut-iterations", "2"): {},
    ("--mask-method", "ellipse"): dict.fromkeys(KINDS, WORKS),
    ("--normalize", "window:0,500"): dict.fromkeys(KINDS, WORKS),
    ("--context", "1"): dict.fromkeys(KINDS, WORKS),
    ("--whole-volumes",): dict.fromkeys(KINDS, WORKS),
    ("--split", "0,1,0"): dict.fromkeys(KINDS, WORKS),
    ("--split-file", "split.csv", "--seed", "1"): {},
}


@pytest.fixture
def inputs(tmp_path, make_series, make_markups, make_report):
    """Make the same lesion and length in every kind: `inputs(kind)` is the bookmark file."""

    def noise(data, k):
        pixels = np.random.default_rng(k).integers(100, 300, (64, 64)).astype("<i2")
        pixels[14:27, 20:41] += 900
        data.PixelData = pixels.tobytes()

    images = tmp_path / "images"
    folder = make_series("images/scan", 9, edit=noise)
    make_series("images/other", 9, edit=noise)
    volume = read_volume(folder, root=images)
    (tmp_path / "split.csv").write_text("volume,split\nscan,train\n")

    def mm(points, z):
        return volume.to_patient_mm(volume.from_stored(points, z))

    def table(columns, cross, length, front):
        rows = [("volume", *front, *columns)]
        for points, z in ((cross, 2), (length, 6)):
            cells = [*map(str, np.ravel(points)), *[""] * (len(columns) - points.size)]
            rows.append(("scan", *([z] if front else []), *cells))
        path = tmp_path / "marks.csv"
        path.write_text("\n".join(",".join(map(str, row)) for row in rows))
        return path

    def deeplesion():
        for k in range(1, 10):
            pixels = np.random.default_rng(k).integers(32900, 33100, (64, 64)).astype(np.uint16)
            (images / "s_01").mkdir(exist_ok=True)
            cv2.imwrite(str(images / f"s_01/{k:03d}.png"), pixels)
        path = tmp_path / "DL_info.csv"
        rows = ["File_name,Patient_index,Measurement_coordinates,Spacing_mm_px_,Train_Val_Test"]
        for points, k in ((CROSS, 3), (LENGTH, 7)):
            text = ", ".join(map(str, (points + 1).ravel()))
            rows.append(f's_01_{k:03d}.png,7,"{text}","0.8, 0.8, 5",1')
        path.write_text("\n".join(rows))
        return path

    def report():
        sources = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
        by_uid = {s.SOPInstanceUID: s for s in sources}
        first, second = (by_uid[volume.slice_uids[z]] for z in (2, 6))
        both = np.concatenate([LENGTH, LENGTH])
        path = make_report([(first, CROSS + 0.5), (second, both + 0.5)], sources)
        data = pydicom.dcmread(path)
        groups = [
            item
            for element in data.iterall()
            if element.keyword == "ContentSequence"
            for item in element.value
            if item.ValueType == "CONTAINER"
            and item.ConceptNameCodeSequence[0].CodeValue == "125007"
        ]
        numbers = [i for i in groups[1].ContentSequence if i.ValueType == "NUM"]
        groups[1].ContentSequence.remove(numbers[1])
        data.save_as(path)
        return path

    def masks():
        labels = np.zeros(volume.array.shape, np.uint8)
        labels[2:4, 14:27, 20:41] = labels[2, 40:46, 5:12] = 1
        labels[6, 40, 20] = 2
        path = tmp_path / "scan_mask.nii.gz"
        sitk.WriteImage(volume.to_source(labels), str(path))
        return path

    def sources():
        by_uid = {str(s.SOPInstanceUID): s for s in map(pydicom.dcmread, sorted(folder.iterdir()))}
        return [by_uid[uid] for uid in volume.slice_uids]

    def seg():
        labels = np.zeros((*volume.array.shape, 2), np.uint8)
        labels[2:4, 14:27, 20:41, 0] = labels[2, 40:46, 5:12, 0] = labels[6, 40, 20, 1] = 1
        return segmentation(sources(), labels, tmp_path / "seg.dcm")

    def save(data, name):
        data.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    def rtstruct():
        box = np.array([[20.0, 14], [40, 14], [40, 26], [20, 26]])
        node = [("CLOSED_PLANAR", mm(box, 2)), ("CLOSED_PLANAR", mm(box, 3))]
        node.append(("CLOSED_PLANAR", mm(box / 4 + [0, 40], 2)))
        dot = ("CLOSED_PLANAR", mm([[19.9, 39.9], [20.1, 39.9], [20, 40.1]], 6))
        data = structure_set(sources()[0], [*node, dot])
        first, *others = data.ROIContourSequence
        first.ContourSequence += [region.ContourSequence[0] for region in others[:2]]
        data.ROIContourSequence = [first, others[2]]
        data.StructureSetROISequence = [
            item(ROINumber=1, ROIName="node 1"),
            item(ROINumber=4, ROIName="node 2"),
        ]
        return save(data, "rtstruct.dcm")

    def gsps():
        lines = [(2, CROSS[:2]), (2, CROSS[2:]), (6, LENGTH)]
        return save(presentation_state(sources(), lines), "gsps.dcm")

    makers = {
        "seg": seg,
        "rtstruct": rtstruct,
        "gsps": gsps,
        "pixels": lambda: table(PIXEL_COLUMNS, CROSS, LENGTH, ["slice"]),
        "mm": lambda: table(MM_COLUMNS, mm(CROSS, 2), mm(LENGTH, 6), []),
        "deeplesion": deeplesion,
        "slicer": lambda: make_markups(
            [mm(CROSS[:2], 2), mm(CROSS[2:], 2), mm(LENGTH, 6)], "scan.mrk.json"
        ),
        "sr": report,
        "masks": masks,
    }
    return lambda kind: makers[kind]()


def prepare(folder, bookmarks, out, *options):
    arguments = ["--images", folder / "images", "--bookmarks", bookmarks, "--out-dir", folder / out]
    arguments += ["--quiet", "--overlays", "0", "--ids", folder / f"{out}.csv"]
    return main([str(a) for a in (*arguments, *options)])


def output(folder, out):
    """All that a run writes, but for the statement of its options."""
    files = {}
    for path in sorted((folder / out).rglob("*")):
        if path.is_file() and ".state" not in path.parts and path.name != "report.json":
            files[path.relative_to(folder / out).as_posix()] = path.read_bytes()
    report = json.loads((folder / out / "report.json").read_bytes())
    return files, report["notes"], (folder / f"{out}.csv").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_works_or_is_refused(tmp_path, inputs, capsys, kind):
    bookmarks = inputs(kind)
    # A table in mm needs its frame; LPS is the frame of these numbers.
    frame = ["--frame", "LPS"] if kind == "mm" else []
    assert prepare(tmp_path, bookmarks, "plain", *frame) == 1  # the length is refused
    plain = output(tmp_path, "plain")
    for number, (option, table) in enumerate(EXPECTED.items()):
        option = [str(tmp_path / o) if o.endswith(".csv") else o for o in option]
        more = [] if "--frame" in option else frame
        expected = table.get(kind, REFUSED)
        capsys.readouterr()
        try:
            status = prepare(tmp_path, bookmarks, f"out{number}", *more, *option)
        except SystemExit as ending:  # argparse
            status = ending.code
        said = capsys.readouterr().err
        where = (kind, option, status, said)
        if expected == REFUSED:
            assert status == 2 and "xpected" in said, where
            assert not (tmp_path / f"out{number}/annotations").exists(), where
        elif expected == "no names":
            assert status == 2 and "names its segments" in said, where
        elif expected == "no volume":
            assert status in (1, 2) and option[0] in said, where
            images = (tmp_path / f"out{number}").glob("images/*/*.png")
            assert not list(images), where
        elif expected == "no change":
            assert status == 1, where
            assert output(tmp_path, f"out{number}") == plain, where
        elif "--frame" in option:
            assert status == 1, where  # points in another frame lie outside, and are named
            assert "in RAS" in (tmp_path / f"out{number}/errors.txt").read_text()
        else:
            clean = option[0] in ("--one-axis", "--segments") and expected == WORKS
            assert status == (0 if clean else 1), where
            assert output(tmp_path, f"out{number}") != plain, where


def test_binary_masks_never_join_two_labels():
    labels = np.zeros((2, 5, 8), np.uint8)
    labels[:, 1:4, 1:4], labels[:, 1:4, 4:6], labels[0, 1, 7] = 1, 2, 2
    found = components(labels)
    assert sorted(np.unique(found)) == [0, 1, 2, 3]
    assert (found[:, 1:4, 1:4] == 1).all() and len(np.unique(found[:, 1:4, 4:6])) == 1
    assert found[0, 1, 7] not in (0, 1, found[0, 1, 4])


def test_a_label_of_several_pieces_gets_a_note(tmp_path, inputs):
    bookmarks = inputs("masks")
    prepare(tmp_path, bookmarks, "out")
    notes = (tmp_path / "out/notes.txt").read_text()
    assert "scan_mask.nii.gz: 1 label of several pieces" in notes and "1 (2 pieces)" in notes
    prepare(tmp_path, bookmarks, "apart", "--binary-masks")
    assert "pieces" not in (tmp_path / "apart/notes.txt").read_text()
    content = json.loads((tmp_path / "apart/annotations/train.json").read_bytes())
    assert sorted(a["bbox"][:2] for a in content["annotations"])[0][0] <= 6
    assert len(content["annotations"]) == 2
