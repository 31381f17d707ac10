"""DICOM segmentations and structure sets as masks of `mmglan prepare`."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_makers import segmentation, structure_set
from said import says

from data_prep import prepare
from data_prep.bookmarks.formats.dicom_labels import DicomMasks, read_mask
from data_prep.errors import DataError
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.volume import read_volume


@pytest.fixture
def scan(make_series, tmp_path):
    """A volume below `images`, its DICOM slices in order, and two lesions `(6, 64, 64, 2)`."""
    folder = make_series("images/scan", 6)
    volume = read_volume(folder, root=folder.parent)
    by_uid = {p.SOPInstanceUID: p for p in map(pydicom.dcmread, sorted(folder.iterdir()))}
    masks = np.zeros((6, 64, 64, 2), np.uint8)
    masks[1:3, 20:25, 30:39, 0] = masks[4, 50:53, 10:14, 1] = 1
    (tmp_path / "masks").mkdir()
    return volume, [by_uid[uid] for uid in volume.slice_uids], masks


def read(path, volume, allow_empty=False):
    return read_mask(path, volume, root=path.parent, allow_empty=allow_empty, nifti_form="auto")


def contours(volume, *, overlap=False):
    """The outlines of the first lesion, on both of its slices as one region each."""
    corners = np.array([[30.0, 20], [38, 20], [38, 24], [30, 24]])
    return [
        ("CLOSED_PLANAR", volume.to_patient_mm(volume.from_stored(corners, z)))
        for z in ((1, 1) if overlap else (1, 2))
    ]


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_are_labels(scan, tmp_path, kind):
    volume, sources, masks = scan
    path = segmentation(sources, masks, tmp_path / "masks/any.dcm", kind)
    mask = read(path, volume)
    assert mask.array.tolist() == (masks * [1, 2]).sum(-1).tolist() and mask.notes == ()


@pytest.mark.parametrize("syntax", ["2.8.1", "2.5", "2.4.90"], ids=["deflate", "RLE", "JPEG2000"])
def test_compressions_that_are_not_read_are_named(scan, tmp_path, syntax):
    """Of frames by deflate, of single bits by RLE, and of others: none is called broken."""
    volume, sources, masks = scan
    path = segmentation(sources, masks, tmp_path / "masks/any.dcm")
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.{syntax}"
    data.PixelData = pydicom.encaps.encapsulate([data.PixelData])
    data["PixelData"].VR = "OB"
    data.save_as(path, implicit_vr=False, little_endian=True, force_encoding=True)
    with pytest.raises(DataError) as caught:
        read(path, volume)
    assert says(caught.value, "any.dcm", "but got another compression")


def test_regions_are_labels(scan, tmp_path):
    volume, sources, masks = scan
    path = tmp_path / "masks/rt.dcm"
    structure_set(sources[0], contours(volume)).save_as(path, enforce_file_format=True)
    expected = masks[..., 0] * np.array([0, 1, 2, 0, 0, 0])[:, None, None]
    assert read(path, volume).array.tolist() == expected.tolist()


def test_what_no_label_mask_can_hold_is_refused(scan, tmp_path):
    volume, sources, _masks = scan
    path = tmp_path / "masks/rt.dcm"
    structure_set(sources[0], contours(volume, overlap=True)).save_as(path, True)
    with pytest.raises(DataError) as caught:
        read(path, volume)
    assert says(caught.value, "rt.dcm", "segments apart", "2 and 1")
    structure_set(sources[0], [("POINT", contours(volume)[0][1])]).save_as(path, True)
    with pytest.raises(DataError) as caught:
        read(path, volume)
    assert says(caught.value, "rt.dcm, row 1", "closed planar contours")
    with pytest.raises(DataError) as caught:
        read(sorted((tmp_path / "images/scan").iterdir())[0], volume)
    assert "a label map, a segmentation (SEG) or a structure set" in str(caught.value)


def test_empty_segments(scan, tmp_path):
    volume, sources, masks = scan
    masks[..., 1] = 0
    path = segmentation(sources, masks, tmp_path / "masks/any.dcm")
    assert read(path, volume).notes == ("any.dcm: 1 of 2 segments hold no voxel.",)


def test_masks_are_found_by_series_else_by_name(scan, tmp_path):
    _volume, sources, masks = scan
    segmentation(sources, masks, tmp_path / "masks/Case7_seg.dcm")
    found = DicomMasks(VolumeIndex(tmp_path / "masks"))
    uid = str(sources[0].SeriesInstanceUID)
    assert found.mask_of("scan", uid) == "Case7_seg.dcm"
    assert found.mask_of("case7", "1.2.3") is None  # another series of that name
    assert found.mask_of("x/case7_0000.nii.gz", None) == "Case7_seg.dcm"
    segmentation(sources, masks, tmp_path / "masks/again.dcm")
    with pytest.raises(DataError) as caught:
        DicomMasks(VolumeIndex(tmp_path / "masks")).mask_of("scan", uid)
    assert says(caught.value, "scan", "got 2", "'Case7_seg.dcm' and 'again.dcm'")


def test_a_mask_of_other_images_gets_a_note(scan, make_series, tmp_path):
    _, sources, masks = scan
    path = segmentation(sources, masks, tmp_path / "masks/any.dcm")
    other = make_series("images/other", 6)
    mask = read(path, read_volume(other, root=other.parent))
    assert len(mask.notes) == 1 and "other images than those of other" in mask.notes[0]
    shifted = make_series("images/moved", 6, step=(0, 0, 3))
    with pytest.raises(DataError, match="frames on the grid of moved"):
        read(path, read_volume(shifted, root=shifted.parent))


def run(root, table, masks, *more):
    given = ["--images", root / "images", "--bookmarks", table, "--masks", masks]
    given += ["--out-dir", root / "out", "--quiet", "--overlays", "0", "--split", "1,0,0", *more]
    return prepare.main([str(part) for part in given])


@pytest.mark.parametrize("kind", ["BINARY", "RTSTRUCT"])
def test_prepare_takes_them_as_masks(scan, make_table, tmp_path, kind):
    volume, sources, masks = scan
    table = make_table("scan,1,30,22,38,22,34,20,34,24")
    path = tmp_path / "masks/deep/any"
    path.parent.mkdir()
    if kind == "RTSTRUCT":
        structure_set(sources[0], contours(volume)).save_as(path, True)
    else:
        segmentation(sources, masks, path)
    assert run(tmp_path, table, tmp_path / "masks") == 0
    truth = json.loads((tmp_path / "out/annotations/train_truth.json").read_bytes())
    assert [a["bbox"] for a in truth["annotations"]] == [[30, 20, 9, 5]]
    volumes = json.loads((tmp_path / "out/annotations/volumes_train.json").read_bytes())
    assert "30, 20, 1, 38, 24" in json.dumps(volumes)
    assert run(tmp_path, table, path, "--overwrite") == 0  # one file


def test_foreign_masks_are_notes_and_none_is_an_error(scan, make_table, tmp_path, capsys):
    _, sources, masks = scan
    table = make_table("scan,1,30,22,38,22,34,20,34,24")
    for source in sources:
        source.SeriesInstanceUID = "1.2.3"
    segmentation(sources, masks, tmp_path / "masks/foreign.dcm")
    assert run(tmp_path, table, tmp_path / "masks") == 2
    assert "none that fits a volume" in capsys.readouterr().err
    labels = read_volume(tmp_path / "images/scan").to_source(masks[..., 0])
    sitk.WriteImage(labels, str(tmp_path / "masks/scan_mask.nii.gz"))
    assert run(tmp_path, table, tmp_path / "masks") == 0
    assert "1 masks belong to no volume" in (tmp_path / "out/report.json").read_text()
