"""Which volumes and masks are found, by path, name and series; and that folders are listed once."""

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.dataset.sources import list_sources
from data_prep.errors import DataError
from data_prep.volumes.itk import files as itk_files
from data_prep.volumes.search.file_names import VOLUME_SUFFIXES, strip_suffix
from data_prep.volumes.search.volume_index import VolumeIndex

DICOM = bytes(128) + b"DICM" + bytes(8)


def touch(root, *names, content=b""):
    for name in names:
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_every_suffix_has_a_reader():
    assert {*itk_files._TEXT_HEADERS, ".nii", ".nii.gz", ".hdr"} == set(VOLUME_SUFFIXES)
    assert strip_suffix("a/b.nii.gz") == strip_suffix("a/b.NRRD") == "a/b"


def test_volumes_below_a_folder(tmp_path):
    touch(tmp_path, "b.nii.gz", "a/x.mha", "a/notes.txt", "dicom/one/1.dcm", "dicom/one/2.dcm")
    touch(tmp_path, "png/000001_01_01/012.png", ".hidden.nii", "empty/readme")
    touch(tmp_path, "bare/IM0001", content=DICOM)
    assert VolumeIndex(tmp_path).volumes == [
        "a/x.mha",
        "b.nii.gz",
        "bare",
        "dicom/one",
        "png/000001_01_01",
    ]


def test_masks_are_no_volumes(tmp_path):
    touch(tmp_path, "a.nii.gz", "a_mask.nii.gz", "b-seg.nrrd", "labels.nii.gz", "x/Seg.mha")
    touch(tmp_path, "unmasked.nii.gz", "truth/a.nii.gz")
    index = VolumeIndex(tmp_path, [tmp_path / "truth"])
    assert index.volumes == ["a.nii.gz", "unmasked.nii.gz"]
    assert len(index.label_maps) == 6


def test_dicom_files_of_any_name_are_found(tmp_path):
    touch(tmp_path, "a/MR.1.2.840.7", "b/scan.IM_1", "c/DICOMDIR", content=DICOM)
    touch(tmp_path, "b/Readme", "b/notes.txt")
    assert VolumeIndex(tmp_path).volumes == ["a", "b"]


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path, locked):
    touch(tmp_path, "a/x.mha", "b/y.mha")
    locked("b")
    assert VolumeIndex(tmp_path).volumes == ["a/x.mha", "b"]
    assert VolumeIndex(tmp_path).by_name("b", "b.mrk.json") == "b"


def test_links_to_folders_are_not_followed(tmp_path):
    touch(tmp_path, "a/x.mha")
    os.symlink(tmp_path / "a", tmp_path / "again")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    assert VolumeIndex(tmp_path).volumes == ["a/x.mha"]


def test_files_by_path_whatever_their_ending(tmp_path):
    touch(tmp_path, "x/a.mha", "x/a_mask.nii", "x/b.nhdr", "x/b.raw")
    index = VolumeIndex(tmp_path)
    found = [index.by_path(path) for path in ("x/a", "x/a.nii.gz", "x/b", "a", "x/c")]
    assert found == ["x/a.mha", "x/a.mha", "x/b.nhdr", None, None]


@pytest.mark.parametrize(
    ("mask", "volume"),
    [
        ("a/b.nii.gz", "a/b.nii.gz"),
        ("a/b.nrrd", "a/b.nii.gz"),
        ("a/b.NII.GZ", "a/b.nii.gz"),
        ("a/b.nhdr", "a/b.nii.gz"),
        ("a/b_mask.nii.gz", "a/b.mha"),
        ("a/b_labels.mha", "a/b"),
        ("a/b-Seg.mha", "a/b.mhd"),
        ("b_seg.nii", "b_seg.nii"),
        ("b_seg_mask.nii", "b_seg.nii"),
        ("ABD_LYMPH_001/ABD_LYMPH_001_mask.nii.gz", "ABD_LYMPH_001"),
        ("ABD_LYMPH_001/ABD_LYMPH_001_mask.nii.gz", "series/ABD_LYMPH_001"),
        ("series_mask.nii.gz", "series#1.2.840.1"),
        ("Case #3/a#1_mask.mha", "Case #3/a#1.mha"),
        ("labelsTr/b.nii.gz", "imagesTr/b_0000.nii.gz"),  # nnU-Net
        ("train/lnq-b1-seg.nrrd", "train/lnq-b1-ct.nrrd"),  # LNQ
        ("Seg/b.seg.nrrd", "b.nrrd"),  # Slicer
        ("B_Mask.nii.gz", "b.nii.gz"),
        ("x/b/seg.nii.gz", "b/ct.nii.gz"),  # TotalSegmentator
        ("derivatives/sub-b_T2w_dseg.nii.gz", "sub-b/anat/sub-b_T2w.nii.gz"),  # BIDS
        ("ABD_001/ABD_001_mask.nii.gz", "ABD_001/study/series"),  # TCIA CT Lymph Nodes
    ],
)
def test_masks_by_name(tmp_path, mask, volume):
    assert VolumeIndex(tmp_path).mask_of(volume) is None
    touch(tmp_path, mask, mask.replace("b", "bc"))
    assert VolumeIndex(tmp_path).mask_of(volume) == mask


def test_masks_of_one_name_in_two_folders_are_refused(tmp_path):
    touch(tmp_path, "x/b_mask.nii", "y/b_mask.nii")
    with pytest.raises(DataError, match="one mask called 'b'"):
        VolumeIndex(tmp_path).mask_of("b.nii")


def test_volumes_by_name_of_other_layouts(tmp_path):
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "lnq-1-ct.nrrd", "lnq-1-seg.nrrd", "Big.nii")
    index = VolumeIndex(tmp_path)
    found = [index.by_name(stem, "f") for stem in ("a", "lnq-1", "big_node2")]
    assert found == ["imagesTr/a_0000.nii.gz", "lnq-1-ct.nrrd", "Big.nii"]


def test_of_several_masks_those_called_so_come_first(tmp_path):
    touch(tmp_path, "a.nii.gz", "a_label.nii", "a_mask.mha", "a_mask.nii")
    assert VolumeIndex(tmp_path).mask_of("a.nii.gz") == "a_mask.nii"


@pytest.mark.parametrize(
    ("stem", "volume"),
    [
        ("case7", "x/case7.nii.gz"),
        ("case7_node2", "x/case7.nii.gz"),
        ("case7b_1_2", "case7b.MHA"),
        ("case7_1", "case7_1"),  # the longest name
        ("case7_1 left", "case7_1"),
        ("ABD", "ABD/study/series"),  # as archives nest their series
    ],
)
def test_volumes_by_name(tmp_path, stem, volume):
    touch(tmp_path, "x/case7.nii.gz", "case7b.MHA", "case7_1/1.dcm", "ABD/study/series/1.dcm")
    touch(tmp_path, "case7_node2/in/two.mha")  # a folder of volumes is none
    assert VolumeIndex(tmp_path).by_name(stem, "f") == volume


def test_names_of_no_or_several_volumes(tmp_path):
    touch(tmp_path, "a/twin.nii.gz", "b/twin.nrrd", "case7.mha")
    for stem, words in (("twin_1", "got 2, e.g. 'a/twin.nii.gz'"), ("case71", "got none")):
        with pytest.raises(DataError, match=words) as caught:
            VolumeIndex(tmp_path).by_name(stem, "marks/f.json")
        assert caught.value.path == "marks/f.json"


def test_series_are_found_by_their_uid(tmp_path, make_series, make_multiframe):
    make_series("images/one", 2, series="1.2.1")
    shared = make_series("images/both", 2, series="1.2.2")
    make_series("other", 2, series="1.2.3")
    for path in (tmp_path / "other").iterdir():
        path.rename(shared / f"b{path.name}")
    make_multiframe(
        "images/frames.dcm", edit=lambda data: setattr(data, "SeriesInstanceUID", "1.2.4")
    )
    touch(tmp_path / "images", "broken.dcm", content=DICOM)
    index = VolumeIndex(tmp_path / "images")
    found = [index.by_series(f"1.2.{n}") for n in (1, 2, 3, 4, 5)]
    assert found == ["one", "both#1.2.2", "both#1.2.3", "frames.dcm", None]


@pytest.fixture
def calls(monkeypatch):
    """Count the calls of the system that list folders or ask for the state of files."""
    counted = dict.fromkeys(("scandir", "listdir", "stat", "lstat"), 0)

    def count(name):
        real = getattr(os, name)

        def call(*args, **options):
            counted[name] += 1
            return real(*args, **options)

        monkeypatch.setattr(os, name, call)

    for name in counted:
        count(name)
    return counted


def masked_volumes(folder, number):
    """One mask file per volume, each volume in a folder of its own."""
    labels = np.zeros((2, 8, 8), np.uint8)
    labels[1, 2:6, 1:7] = 1
    (folder / "masks").mkdir(parents=True)
    for i in range(number):
        touch(folder / "images", f"p{i}/case{i}.nii.gz")
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(folder / f"masks/case{i}_mask.mha"))
    return folder


def test_folders_are_listed_once_however_many_masks_there_are(tmp_path, calls):
    spent = []
    for number in (10, 20):
        folder = masked_volumes(tmp_path / str(number), number)
        calls.update(dict.fromkeys(calls, 0))
        found = read_bookmarks(folder / "masks", image_root=folder / "images")
        assert len(found.records) == number and found.errors == []
        assert calls["scandir"] + calls["listdir"] <= number + 4  # each folder, and the masks'
        spent.append(sum(calls.values()))
    assert spent[1] <= 2.1 * spent[0]


def test_masks_are_found_in_one_listing(tmp_path, calls):
    volumes = [f"case{i}.nii.gz" for i in range(20)]
    touch(tmp_path, *(f"case{i}_mask.mha" for i in range(20)))
    calls.update(dict.fromkeys(calls, 0))
    sources, _ = list_sources([], volumes, masks=tmp_path)
    assert calls["scandir"] == 1
    assert sorted(source.mask for source in sources) == sorted(os.listdir(tmp_path))
