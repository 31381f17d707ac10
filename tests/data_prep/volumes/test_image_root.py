"""Archives and DICOMDIRs named as images."""

import json
import os
import stat
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.fileset import FileSet

from data_prep import prepare
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.search import image_root
from data_prep.volumes.search.image_root import open_images
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.volume import read_volume

fuzz = settings.get_profile("readers")


def names(path):
    with open_images(path) as images:
        found = VolumeIndex(images.root).volumes if images.only is None else [images.only]
        return images.root, found


@pytest.fixture
def pack(tmp_path):
    """Return a writer of archives from pairs of name and content."""

    def write(*members):
        with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return tmp_path / "study.zip"

    return write


def test_folders_and_files(tmp_path):
    (tmp_path / "a.nii").touch()
    assert names(tmp_path) == (tmp_path, ["a.nii"])
    assert names(tmp_path / "a.nii") == (tmp_path, ["a.nii"])


def test_an_archive_is_unpacked_and_removed(pack):
    root, found = names(pack(("p/t2/1.nii", b"x"), ("p/t1.mha", b"")))
    assert found == ["p/t1.mha", "p/t2/1.nii"] and not root.exists()


@pytest.mark.parametrize("name", ["../x.nii", "/x.nii", "a/../../x.nii", "C:/x.nii", "~/x.nii"])
def test_members_outside_are_refused(pack, tmp_path, name):
    with pytest.raises(DataError, match=r"^study.zip: Expected files inside"):
        names(pack(("ok.nii", b""), (name, b"")))
    assert sorted(os.listdir(tmp_path)) == ["study.zip"]


def test_links_passwords_and_doubles_are_refused(pack):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DataError, match="a link"):
        names(pack((link, b"/etc")))
    with pytest.warns(UserWarning, match="Duplicate"):
        path = pack(("a.nii", b"1"), ("a.nii", b"2"))
    with pytest.raises(DataError, match=r"'a.nii' twice"):
        names(path)
    path = pack(("a.nii", b"1"))
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + at] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="a password"):
        names(path)


def test_sizes_are_limited(pack, monkeypatch):
    path = pack(("a.nii", bytes(1001)), ("b.nii", b""))
    monkeypatch.setattr(image_root, "max_bytes", lambda: 125)
    with pytest.raises(DataError, match=r"at most 200000 files and 1000 bytes but got 2 and 1001"):
        names(path)
    monkeypatch.setattr(image_root, "max_bytes", lambda: 126)
    monkeypatch.setattr(image_root, "MAX_MEMBERS", 1)
    with pytest.raises(DataError, match="at most 1 files"):
        names(path)


def test_a_method_that_python_lacks_is_named(pack):
    """Windows packs large folders by Deflate64 (9)."""
    path = pack(("a.nii", b"1"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 10] = 9
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"usual method but got method 9\. Unpack it"):
        names(path)


def test_archives_among_the_volumes_are_told(pack, make_series, tmp_path):
    """One in an archive, and tar, 7z and rar in a folder, as what they are."""
    root = tmp_path / "images"
    series = make_series("images/scan", 3)
    inner = pack(*((f"scan/{p.name}", p.read_bytes()) for p in series.iterdir()))
    with zipfile.ZipFile(root / "outer.zip", "w") as archive:
        archive.write(inner, "more/inner.zip")
    with open_images(root / "outer.zip") as images:
        found = VolumeIndex(images.root)
        assert found.volumes == [] and found.notes[0].startswith("1 archives (zip, tar …) lie")
    (root / "outer.zip").unlink()
    for name, mode in (
        ("a.tar", "w"),
        ("b.tar.gz", "w:gz"),
        ("c.tgz", "w:gz"),
        ("d.tar.xz", "w:xz"),
    ):
        with tarfile.open(root / name, mode) as archive:
            archive.add(series, "scan")
    (root / "e.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(60))
    (root / "f.rar").write_bytes(b"Rar!\x1a\x07\x01" + bytes(60))
    found = VolumeIndex(root)
    assert found.volumes == ["scan"]
    assert found.notes == [
        "6 archives (zip, tar …) lie among the volumes and were not read; unpack them."
    ]
    for name, kind in KINDS.items():
        with pytest.raises(
            DataError, match=f"^{name}: Expected an image but got {kind}. Unpack it"
        ):
            read_volume(root / name, root=root)
        with pytest.raises(
            DataError, match=f"^{name}: Expected bookmarks or masks but got an archive"
        ):
            read_bookmarks(root / name)


KINDS = {
    "a.tar": "a tar archive",
    "b.tar.gz": "a file packed with gzip",
    "d.tar.xz": "a file packed with xz",
    "e.7z": "a 7z archive",
    "f.rar": "a rar archive",
}


@fuzz
@given(data=st.data())
def test_damaged_archives(tmp_path_factory, survives, damage, data):
    path = tmp_path_factory.mktemp("zip") / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/t2/1.nii", bytes(300))
        archive.writestr("t1.mha", b"abc")
    sound = path.read_bytes()
    path.write_bytes(damage(data, sound, len(sound)))
    survives(names, path)


@pytest.fixture
def medium(make_series, tmp_path):
    """A DICOMDIR that pydicom wrote, and its files."""

    def edit(data, k):
        data.PatientID, data.StudyID, data.SeriesNumber, data.InstanceNumber = "p", "1", 1, k + 1

    files = FileSet()
    for path in sorted(make_series("made", 3, edit=edit).iterdir()):
        files.add(path)
    files.write(tmp_path / "cd")
    return tmp_path / "cd"


def test_the_files_of_a_dicomdir(medium):
    root, (volume,) = names(medium / "DICOMDIR")
    assert root == medium and volume.startswith("PT000000/ST000000/SE")
    missing = sorted((medium / volume).iterdir())[-1]
    missing.unlink()
    with pytest.raises(DataError, match=r"the 3 files that it lists but 1 are not there"):
        names(medium / "DICOMDIR")


def test_a_prepared_archive_goes_on(medium, tmp_path, capsys):
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for path in sorted(p for p in medium.rglob("*") if p.is_file()):
            content.write(path, path.relative_to(medium))
    volume = names(medium)[1][0]
    table = tmp_path / "marks.csv"
    columns = "slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"
    table.write_text(f"volume,{columns}\n{volume},1,10,10,20,10,15,7,15,13\n")
    call = ["--images", archive, "--bookmarks", table, "--out-dir", tmp_path / "out", "--quiet"]
    call = [str(part) for part in (*call, "--overlays", "0", "--split", "1,0,0")]
    assert prepare.main(call) == 0
    train = json.loads((tmp_path / "out/annotations/train.json").read_bytes())
    assert [image["slice_index"] for image in train["images"]] == [1]
    result = tmp_path / "out/.state/volumes/v0001.json"
    before = result.stat().st_mtime_ns
    assert prepare.main(call) == 0 and result.stat().st_mtime_ns == before
    assert prepare.main([*call, "--scheduler", "tcp://a:1"]) == 2
    assert "leave out --scheduler" in capsys.readouterr().err
