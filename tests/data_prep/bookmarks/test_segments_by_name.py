"""Segments that are lesions are chosen by name: an organ never becomes a lesion without a word."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_makers import segmentation, structure_set
from said import says

from data_prep import prepare
from data_prep.bookmarks.formats.dicom_labels import read_mask
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.segment_names import choose
from data_prep.volumes.volume import read_volume

# Two bodies in pixels: x1, y1, x2, y2 on slice 1 and on slice 4.
NODE, LIVER = (30, 20, 38, 24), (10, 40, 29, 59)
KINDS = ("seg", "labelmap", "rtstruct", "seg.nrrd")


@pytest.fixture
def write(make_series, tmp_path):
    """Write both bodies in a format under two names: `write(kind, names)`."""
    folder = make_series("images/scan", 6)
    volume = read_volume(folder, root=folder.parent)
    by_uid = {p.SOPInstanceUID: p for p in map(pydicom.dcmread, sorted(folder.iterdir()))}
    sources = [by_uid[uid] for uid in volume.slice_uids]

    def write(kind, names, **more):
        if kind == "rtstruct":
            corners = ([[x1, y1], [x2, y1], [x2, y2], [x1, y2]] for x1, y1, x2, y2 in (NODE, LIVER))
            outlines = [
                ("CLOSED_PLANAR", volume.to_patient_mm(volume.from_stored(np.array(c), z)))
                for c, z in zip(corners, (1, 4), strict=True)
            ]
            path = tmp_path / "scan.dcm"
            structure_set(sources[0], outlines, names, **more).save_as(path, True)
            return path, volume
        masks = np.zeros((6, 64, 64, 2), np.uint8)
        for number, (z, (x1, y1, x2, y2)) in enumerate(((1, NODE), (4, LIVER))):
            masks[z, y1 : y2 + 1, x1 : x2 + 1, number] = 1
        if kind != "seg.nrrd":
            kind = "BINARY" if kind == "seg" else "LABELMAP"
            return segmentation(sources, masks, tmp_path / "scan.dcm", kind, names), volume
        image = volume.to_source((masks * [1, 2]).sum(-1).astype(np.uint8))
        for number, name in enumerate(names):
            image.SetMetaData(f"Segment{number}_Name", name)
            image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
        sitk.WriteImage(image, str(tmp_path / "scan.seg.nrrd"))
        return tmp_path / "scan.seg.nrrd", volume

    return write


def as_bookmarks(path, **options):
    return read_bookmarks(path, image_root=path.parent / "images", **options)


def as_mask(path, volume, segments=None):
    choice = dict(root=path.parent, allow_empty=False, nifti_form="auto", segments=segments)
    return read_mask(path, volume, **choice)


def boxes(found):
    return sorted(tuple(np.ptp(record.points[:, :2], axis=0).round(3)) for record in found.records)


@pytest.mark.parametrize("kind", KINDS)
def test_unlike_names_are_refused(write, kind):
    path, volume = write(kind, ("Node 1", "Liver"))
    try:
        (error,) = as_bookmarks(path).errors
    except DataError as whole:  # a single label map
        error = whole
    assert says(error, path.name, "'Node 1', 'Liver'", "--segments")
    with pytest.raises(DataError) as caught:
        as_mask(path, volume)
    assert says(caught.value, path.name, "'Node 1', 'Liver'", "--segments")


@pytest.mark.parametrize("kind", KINDS)
def test_names_choose(write, kind):
    path, volume = write(kind, ("Node 1", "Liver"))
    found = as_bookmarks(path, segments="NODE|lesion")
    assert [record.row for record in found.records] == [1] and found.errors == []
    assert found.incomplete_volumes == set()
    assert any("1 of 2 segments left out by --segments: 'Liver'" in note for note in found.notes)
    mask = as_mask(path, volume, "node")
    assert np.unique(mask.array).tolist() == [0, 1] and (mask.array == 1).sum() == 45
    assert any("left out by --segments: 'Liver'" in note for note in mask.notes)
    with pytest.raises(DataError) as caught:
        as_mask(path, volume, "spleen")
    assert says(caught.value, path.name, "'Node 1', 'Liver'", "fits --segments")


@pytest.mark.parametrize("kind", KINDS)
def test_like_names_are_lesions_with_a_note_if_they_do_not_say_so(write, kind):
    path, volume = write(kind, ("Node 1", "node_2"))
    found = as_bookmarks(path)
    assert len(found.records) == 2 and found.notes == []
    path, volume = write(kind, ("Segment_1", "Segment_2"))
    found = as_bookmarks(path)
    said = f"{path.name}: segments called 'Segment_1' are taken as lesions."
    assert len(found.records) == 2 and found.notes == [said]
    assert as_mask(path, volume).notes == (said,)


def test_no_matching_segment_leaves_the_volume_incomplete(write):
    path, _ = write("seg", ("Spleen", "Liver"))
    found = as_bookmarks(path, segments="node")
    assert found.records == [] and found.incomplete_volumes == {"scan"}
    assert says(found.errors[0], "scan.dcm", "'Spleen', 'Liver'")


def test_the_outline_of_the_body_is_no_lesion(write):
    names = dict(interpreted=("EXTERNAL", "EXTERNAL"))
    path, _ = write("rtstruct", ("Target 1", "Target 2"), **names)
    (error,) = as_bookmarks(path).errors
    assert "'Target 1'" in str(error) and "--segments" in str(error)
    assert len(as_bookmarks(path, segments="target").records) == 2


def test_a_region_that_was_never_drawn(write):
    path, volume = write("rtstruct", ("GTV 1", "GTV 2", "GTV 3"))
    found = as_bookmarks(path)
    assert len(found.records) == 2 and found.incomplete_volumes == {"scan"}
    assert says(found.errors[0], "scan.dcm, row 3", "an empty one")
    assert as_mask(path, volume).notes == ("scan.dcm: 1 of 3 segments hold no voxel.",)


def test_a_label_map_without_names_has_nothing_to_choose(write, tmp_path):
    path, volume = write("seg.nrrd", ())
    assert len(as_bookmarks(path).records) == 2
    with pytest.raises(DataError, match="a label map without names"):
        as_mask(path, volume, "node")


def test_a_label_beside_the_named_ones_is_one_without_a_name():
    with pytest.raises(DataError, match="'node', ''"):
        choose({1: "node", 2: ""}, None, "a.seg.nrrd")
    assert choose({1: "node", 2: ""}, "node", "a.seg.nrrd")[0] == {1}


@pytest.mark.parametrize("kind", ["rtstruct", "seg.nrrd"])
def test_prepare_takes_the_option_for_bookmarks_and_masks(write, tmp_path, make_table, kind):
    path, _ = write(kind, ("Node 1", "Liver"))
    table = make_table("scan,1,30,22,38,22,34,20,34,24")

    def run(out, *given):
        call = ["--images", tmp_path / "images", *given, "--out-dir", tmp_path / out]
        call += ["--quiet", "--overlays", "0", "--split", "1,0,0"]
        return prepare.main([str(part) for part in call])

    assert run("a", "--bookmarks", path, "--segments", "node") == 0
    content = json.loads((tmp_path / "a/annotations/train.json").read_bytes())
    assert len(content["annotations"]) == 1
    assert run("b", "--bookmarks", table, "--masks", path) == 1
    assert "'Liver'" in (tmp_path / "b/errors.txt").read_text()
    assert run("b", "--bookmarks", table, "--masks", path, "--segments", "node", "--overwrite") == 0
    truth = json.loads((tmp_path / "b/annotations/train_truth.json").read_bytes())
    assert [a["bbox"] for a in truth["annotations"]] == [[30, 20, 9, 5]]


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "prostate": [1, 2], "lesion": 2},
        {"0": "background", "1": "prostate", "2": "lesion"},
    ],
)
def test_labels_that_dataset_json_names(write, tmp_path, labels):
    """nnU-Net: label 1 is an organ, and says so beside the folder of the masks."""
    path, volume = write("seg.nrrd", ())
    masks = tmp_path / "labelsTr"
    masks.mkdir()
    image = sitk.ReadImage(str(path))
    image = volume.to_source(sitk.GetArrayFromImage(image))
    sitk.WriteImage(image, str(masks / "scan.nii.gz"))
    path.unlink()
    assert len(as_bookmarks(masks).records) == 2
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    found = as_bookmarks(masks)
    assert not found.records
    assert says(found.errors[0], "labelsTr/scan.nii.gz", "lesions only", "prostate", "lesion")
    found = as_bookmarks(masks, segments="^lesion|, lesion")
    assert [r.row for r in found.records] == [2] and not found.errors
    (tmp_path / "dataset.json").write_text("{")
    assert says(as_bookmarks(masks).errors[0], "labelsTr/scan.nii.gz", "JSON")
