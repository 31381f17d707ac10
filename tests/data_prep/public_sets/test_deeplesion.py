"""DeepLesion from the layout of its download to the files that Table 6 is made from."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import mmglan
from data_prep import prepare
from data_prep.errors import DataError
from data_prep.public_sets.deeplesion_subvolumes import read_subvolumes
from data_prep.volumes.volume import read_volume
from tests.helpers import deeplesion_download


def command(root, out, *more):
    given = ["--images", root / "Images_png", "--bookmarks", root / "DL_info.csv"]
    given += ["--subvolumes", root / "annotations.pkl", "--normalize", "window:-1024,3071"]
    return list(map(str, [*given, "--out-dir", out, "--overlays", 0, "--quiet", *more]))


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    return deeplesion_download.write(tmp_path_factory.mktemp("deeplesion"))


@pytest.fixture(scope="module")
def prepared(download):
    assert prepare.main(command(download, download / "data", "--ids", download / "ids.csv")) == 0
    return download / "data/annotations"


def load(path):
    return json.loads(path.read_text())


def test_each_volume_is_where_it_belongs(download, prepared):
    """12 patients; 4 of them, of which one in the test split, have a series of two blocks."""
    names = dict(
        line.split(",")[0::2][:2] for line in (download / "ids.csv").read_text().split()[1:]
    )
    assert len(names) == 12 + 4 * 2 and names["v0004"] == "000003_02_03#20-26"
    for split, keys in (("train", 6 + 4), ("val", 3 + 2), ("test", 3 + 2)):
        assert len(load(prepared / f"{split}.json")["annotations"]) == keys
    whole, volumes = load(prepared / "test_whole.json"), load(prepared / "volumes_test.json")
    sizes = {v["volume_id"]: v["shape_zyx"][0] for v in volumes["volumes"]}
    assert sorted(names[v] for v in sizes) == [
        "000010_01_01",
        "000011_01_01",
        "000012_01_01",
        "000012_02_03#20-26",
        "000012_02_03#40-46",
    ]
    assert sorted(sizes.values()) == [7, 7, 9, 9, 9] and len(whole["images"]) == 41
    for name in ("train_whole", "val_whole"):
        assert not (prepared / f"{name}.json").exists()
    assert load(prepared / "volumes_train.json") == {"lesions": [], "volumes": []}


def test_z_of_boxes_runs_to_the_head(prepared):
    """Slices 5 to 13, lesion on 8 to 10: 13 is z 0, so 10 is z 3 and 8 is z 5."""
    volumes = load(prepared / "volumes_test.json")
    (first,) = [v["volume_id"] for v in volumes["volumes"]][:1]
    boxes = [lesion["box3d"] for lesion in volumes["lesions"] if lesion["volume_id"] == first]
    assert boxes == [[20, 24, 3, 31, 31, 5], [44, 40, 3, 55, 49, 5]]
    whole = load(prepared / "test_whole.json")
    ids = {i["id"]: i["slice_index"] for i in whole["images"] if i["volume_id"] == first}
    found = [a for a in whole["annotations"] if a["image_id"] in ids]
    assert [ids[a["image_id"]] for a in found] == [3, 3, 4, 4, 5, 5]
    assert found[0]["bbox"] == [20.0, 24.0, 12.0, 8.0] and "segmentation" not in found[0]


def oracle(prepared, shift=0):
    rows = [
        {"image_id": a["image_id"], "category_id": 1, "score": 0.9}
        | {"bbox": [a["bbox"][0] + shift, *a["bbox"][1:]]}
        for a in load(prepared / "test_whole.json")["annotations"]
    ]
    volumes = prepared / "volumes_test.json"
    found = mmglan.evaluate(prepared / "test_whole.json", rows, volumes=volumes, bootstrap=0)
    return found.by_name()


def test_oracle_detections_give_100_percent_and_shifted_ones_what_a_hand_computes(prepared):
    """A box of 12 columns moved by 9 has IoBB 3 / 12 < 0.3 with its lesion, by 8 it has 4 / 12."""
    for shift, expected in ((0, 1.0), (8, 1.0), (9, 0.0)):
        found = {
            name: value
            for name, value in oracle(prepared, shift).items()
            if name.startswith("bbox3d_FROC") and "IoBB30" in name
        }
        assert len(found) == 8 and set(found.values()) == {expected}, (shift, found)


def test_a_block_is_read_alone_and_a_gap_names_one(download):
    images = download / "Images_png"
    volume = read_volume(images / "000003_02_03#40-46", root=images)
    assert volume.array.shape[0] == 7 and volume.slice_numbers == tuple(range(40, 47))
    with pytest.raises(DataError, match=r"gap after slice number 26.*000003_02_03#20-26"):
        read_volume(images / "000003_02_03", root=images)
    with pytest.raises(DataError, match="Expected the slices 24 to 41 but got no number 27"):
        read_volume(images / "000003_02_03#24-41", root=images)


def test_whole_volumes_of_one_split_only(download, tmp_path):
    given = command(download, tmp_path / "out", "--whole-volumes", "val")
    del given[4:6]  # no sub-volumes
    assert prepare.main(given) == 0
    folder = tmp_path / "out/annotations"
    assert len(load(folder / "val_whole.json")["images"]) == 3 * 9 + 2 * 7
    assert not (folder / "train_whole.json").exists()
    assert len(list((tmp_path / "out/images").rglob("*.png"))) == 41 + 15
    assert prepare.main([*given, "--split", "0.5,0.2,0.3", "--overwrite"]) == 2


def test_subvolumes_that_are_not_there_are_named(download, tmp_path, capsys):
    content = pickle.loads((download / "annotations.pkl").read_bytes())
    content["test"] |= {"000012_02_03_020-041": np.zeros((0, 6)), "000099_01_01_001-002": []}
    file = tmp_path / "more.pkl"
    file.write_bytes(pickle.dumps(content))
    given = command(download, tmp_path / "out")
    given[5] = str(file)
    assert prepare.main(given) == 1
    errors = capsys.readouterr().err
    assert "more.pkl: 000012_02_03_020-041: Expected all of its slices but got none, or a" in errors
    assert "more.pkl: 000099_01_01_001-002: Expected bookmarks that name its patient" in errors


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"test": {"000001_01_01_001-003": Evil()}}, "a reference to pathlib"),
        ({"test": {"a_001-003": np.array([[Evil()] * 6])}}, "numbers of type 'O8'"),
        ({"test": {"a_001-003": np.zeros((1, 5))}}, "with boxes of 6 numbers but got 'a_001-003'"),
        ({"test": {"a": np.zeros((1, 6))}}, "Expected a name such as 001439_01_01_005-017"),
        ({"test": {"a_005-009": np.full((1, 6), 4.0)}}, "boxes inside the slices 5 to 9"),
        ({"test": {}}, "Expected sub-volumes of the group test but got none"),
    ],
)
def test_other_pickles_are_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        read_subvolumes(tmp_path / "a.pkl")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_of_any_type_and_order_are_read(tmp_path, protocol):
    boxes = np.array([[1, 2, 6, 3, 4, 7], [0, 0, 5, 1, 1, 5]])
    for kind in ("<f8", ">f4", "<i4", "<i8", "u1"):
        for array in (boxes.astype(kind), np.asfortranarray(boxes.astype(kind))):
            path = tmp_path / "a.pkl"
            path.write_bytes(pickle.dumps({"test": {"b_01_005-007": array}}, protocol))
            (part,) = read_subvolumes(path)
            assert (part.folder, part.first, part.last) == ("b_01", 5, 7)
            assert np.array_equal(part.boxes, boxes)


def test_json_of_the_same_form_is_read(tmp_path, shared_data):
    content = json.loads((shared_data / "froc_reference.json").read_text())["ground_truth"]
    (tmp_path / "val.json").write_text(json.dumps(content))
    parts = read_subvolumes(tmp_path / "val.json")
    assert len(parts) == 200 and sum(len(part.boxes) for part in parts) == 1292
