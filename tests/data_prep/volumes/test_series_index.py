"""DICOM trees: series that share folders or lie in several, and the choice among them."""

import pytest
from pydicom.uid import generate_uid
from said import says

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.dicom.patient_key import header_of_volume, key_of_header
from data_prep.volumes.dicom.series_choice import SeriesChoice
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.volume import read_volume

T1, T2, T2B, SCOUT = "1.2.1", "1.2.2", "1.2.3", "1.2.4"
HEADER = "slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"


@pytest.fixture
def add(make_series, tmp_path):
    """Return a writer of a series of a study into a folder below `images`."""

    def write(folder, uid, count, description, *, study="7.7", modality="MR", patient="p", **more):
        def edit(data, k):
            data.SeriesDescription, data.StudyInstanceUID = description, study
            data.Modality, data.PatientID = modality, patient

        place = tmp_path / "made" / uid
        make_series(series=uid, count=count, folder=place, edit=edit, **more)
        target = tmp_path / "images" / folder
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(place.iterdir()):
            path.rename(target / f"{uid}_{path.name}")
        return target

    return write


@pytest.fixture
def flat(add, tmp_path):
    """All series of two patients in one folder, as some scanners export them."""
    add("DICOM", T1, 3, "AX T1")
    add("DICOM", T2, 4, "AX T2 HASTE")
    add("DICOM", T2B, 5, "ax t2 haste", study="8.8", patient="q")
    add("DICOM", "1.2.5", 2, "scout", study="8.8", patient="q", modality="CT")
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("choice", "volumes"),
    [
        (SeriesChoice(), ["DICOM"]),  # its reader refuses it
        (SeriesChoice("all"), [f"DICOM#{n}" for n in (T1, T2, T2B, "1.2.5")]),
        (SeriesChoice("most-slices"), [f"DICOM#{T2}", f"DICOM#{T2B}"]),  # one per study
        (SeriesChoice(description="t2"), [f"DICOM#{T2}", f"DICOM#{T2B}"]),
        (SeriesChoice(description="^ax t1$"), [f"DICOM#{T1}"]),
        (
            SeriesChoice("all", modality="mr", description="t2|scout"),
            [f"DICOM#{T2}", f"DICOM#{T2B}"],
        ),
    ],
)
def test_series_of_a_flat_folder(flat, choice, volumes):
    index = VolumeIndex(flat, choice=choice)
    assert index.volumes == volumes
    for volume in volumes:
        if "#" in volume:
            uid = volume.partition("#")[2]
            read = read_volume(flat / volume, root=flat, modality=choice.modality)
            assert len(read.array) == {T1: 3, T2: 4, T2B: 5, "1.2.5": 2}[uid]
            assert read.source_id == volume == index.by_series(uid)
    unfit = {"": 0, "t2": 2, "^ax t1$": 3, "t2|scout": 2}[choice.description or ""]
    assert any(n.startswith(f"{unfit} DICOM series do not fit") for n in index.notes) == (unfit > 0)


def test_patients_of_a_flat_folder(flat):
    headers = [header_of_volume(flat, f"DICOM#{uid}") for uid in (T1, T2, T2B)]
    one, same, other = map(key_of_header, headers)
    assert one == same != other


def test_the_reader_chooses_too(flat):
    assert len(read_volume(flat / "DICOM", series_description="T1").array) == 3
    with pytest.raises(DataError, match="got 2 of 2 studies"):
        read_volume(flat / "DICOM", series_description="t2", series_rule="most-slices")
    with pytest.raises(DataError, match="fits --modality PT but got 4 that do not"):
        read_volume(flat / "DICOM", modality="PT")
    with pytest.raises(ValueError, match="regular expression"):
        read_volume(flat / "DICOM", series_description="(")


def test_other_formats_have_no_series(tmp_path, make_image):
    import SimpleITK as sitk

    sitk.WriteImage(make_image(), str(tmp_path / "a.nii"))
    with pytest.raises(DataError, match=r"a.nii: Expected DICOM for --modality MR"):
        read_volume(tmp_path / "a.nii", modality="MR")


def test_a_series_in_several_folders_is_one_volume(add, tmp_path):
    whole = add("whole", T1, 7, "t1")
    for number, path in enumerate(sorted(whole.iterdir())):
        part = tmp_path / f"images/study/disk{number % 2}"
        part.mkdir(parents=True, exist_ok=True)
        path.rename(part / path.name)
    whole.rmdir()
    add("study/disk0", T2, 3, "t2")
    index = VolumeIndex(tmp_path / "images")
    assert index.volumes == [f"study#{T1}", f"study/disk0#{T2}"]
    assert index.by_series(T1) == f"study#{T1}"
    assert len(read_volume(tmp_path / f"images/study#{T1}").array) == 7
    assert key_of_header(header_of_volume(tmp_path / "images", f"study#{T1}")) is not None
    # Half of the slices would be read by the folder's name, and be counted otherwise.
    with pytest.raises(DataError, match=f"part of one. Name it 'study#{T1}'"):
        index.whole("study/disk1")
    assert index.whole(f"study#{T2}") == f"study/disk0#{T2}"


def test_copies_and_phases_are_no_parts(add, tmp_path):
    add("a", T1, 4, "t1")
    add("b", T1, 4, "t1")
    index = VolumeIndex(tmp_path / "images")
    assert index.volumes == ["a", "b"]
    with pytest.raises(DataError, match=r"at one place but got 2, e.g. 'a' and 'b'"):
        index.by_series(T1)


def test_folders_of_reports_are_no_volumes(add, tmp_path):
    add("p1/t2", T2, 3, "t2")
    report = add("p1/sr", T1, 1, "report")
    import pydicom

    for path in report.iterdir():
        data = pydicom.dcmread(path)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
        data.save_as(path)
    index = VolumeIndex(tmp_path / "images")
    assert index.volumes == ["p1/t2"]
    assert index.notes == [
        "1 folders hold DICOM objects that are no images (reports, segmentations …) and are no"
        " volumes."
    ]


def test_bookmarks_find_their_series_in_a_tree(add, make_table, tmp_path):
    for case in "ab":
        for uid, name in ((f"5.{ord(case)}", "t2"), (f"6.{ord(case)}", "t1")):
            add(f"{case}/study/{name}", uid, 3, f"AX {name}", study=f"7.{ord(case)}", patient=case)
    cross = "1,10,10,20,10,15,7,15,13"
    root = tmp_path / "images"
    index = VolumeIndex(root, choice=SeriesChoice(description="t2"))
    by_folder = make_table(f"a,{cross}", f"b,{cross}", f"b,{cross},1", header=f"volume,{HEADER}")
    found = read_bookmarks(by_folder, image_root=index)
    assert [record.volume for record in found.records] == ["a/study/t2", "b/study/t2"]
    assert found.incomplete_volumes == {"b/study/t2"}  # that of the bad row
    assert index.by_name("b_node1", "f") == "b/study/t2"
    found = read_bookmarks(by_folder, image_root=VolumeIndex(root))
    assert not found.records and says(found.errors[1], "bookmarks.csv, row 2", "got 2")
    by_uid = make_table(f"5.{ord('b')},{cross}", f"9.9,{cross}", header=f"series_uid,{HEADER}")
    found = read_bookmarks(by_uid, image_root=index)
    assert [record.volume for record in found.records] == ["b/study/t2"]
    assert (
        says(found.errors[0], "bookmarks.csv, row 3", "series 9.9", "nowhere")
        and not found.all_volumes_known
    )


def test_a_broken_file_is_not_passed_over(flat):
    path = next(flat.rglob(f"{T1}_*"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="header without its size"):
        read_volume(flat / f"DICOM#{T2}")


def test_series_without_a_uid(add, tmp_path):
    uid = generate_uid()
    add("a", uid, 3, "t1")
    assert VolumeIndex(tmp_path / "images").by_series("") is None
