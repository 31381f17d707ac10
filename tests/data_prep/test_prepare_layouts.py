"""Instance masks in the layouts of public sets, given as bookmarks and as masks."""

import csv
import json
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from data_prep import prepare

# Image, mask and patient of two volumes below the folder of the set, and the folder of the masks.
LAYOUTS = {
    "ULS23": (
        "labels",
        ("images/000038_01_01_050_lesion_01.nii.gz", "labels/000038_01_01_050_lesion_01.nii.gz"),
        ("images/000038_02_01_058_lesion_02.nii.gz", "labels/000038_02_01_058_lesion_02.nii.gz"),
    ),
    "ULS23 for nnU-Net": (
        "labelsTr",
        ("imagesTr/bone_7_lesion_01_0000.nii.gz", "labelsTr/bone_7_lesion_01.nii.gz"),
        ("imagesTr/bone_7_lesion_02_0000.nii.gz", "labelsTr/bone_7_lesion_02.nii.gz"),
    ),
    "LNQ": (
        "",
        ("lnq2023-train-case_0001-ct.nrrd", "lnq2023-train-case_0001-seg.nrrd"),
        ("lnq2023-train-case_0002-ct.nrrd", "lnq2023-train-case_0002-seg.nrrd"),
    ),
    "nnU-Net": (
        "labelsTr",
        ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"),
        ("imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"),
    ),
}


def write(root, layout):
    """Write two volumes with one lesion each, at other places."""
    folder, *pairs = LAYOUTS[layout]
    for number, (image, mask) in enumerate(pairs):
        voxels = np.random.default_rng(number).integers(100, 300, (4, 48, 48)).astype(np.int16)
        labels = np.zeros(voxels.shape, np.uint8)
        labels[1, 10 + number : 18, 20:30] = labels[2, 12:15, 22:26] = 1
        for path, array in ((image, voxels), (mask, labels)):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(root / path))
    return root / folder


def run(root, bookmarks, masks, *more):
    given = ["--images", root, "--bookmarks", bookmarks, "--out-dir", root.parent / "out"]
    given += [] if masks is None else ["--masks", masks]
    given += ["--quiet", "--overlays", "0", "--ids", root.parent / "ids.csv", *more]
    return prepare.main([str(part) for part in given])


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "LNQ"])
def test_masks_in_a_folder_of_their_own(tmp_path, layout):
    masks = write(tmp_path / "set", layout)
    assert run(tmp_path / "set", masks, masks, "--split", "1,0,0") == 0
    rows = list(csv.DictReader((tmp_path / "ids.csv").open()))
    images = [image for image, _ in LAYOUTS[layout][1:]]
    assert [row["volume"] for row in rows] == images  # none is the mask itself
    truth = json.loads((tmp_path / "out/annotations/train_truth.json").read_bytes())
    assert [a["bbox"] for a in truth["annotations"]] == [[20, 10, 10, 8], [20, 11, 10, 7]]
    patients = {row["patient_id"] for row in rows}
    assert len(patients) == (1 if layout.startswith("ULS23") else 2)


def test_masks_beside_the_images(tmp_path):
    root = tmp_path / "set"
    write(root, "LNQ")
    table = tmp_path / "marks.csv"
    columns = "slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"
    volumes = [image for image, _ in LAYOUTS["LNQ"][1:]]
    rows = [f"{volume},1,20,13,29,13,25,11,25,17" for volume in volumes]
    table.write_text("\n".join([f"volume,{columns}", *rows]))
    assert run(root, table, root, "--split", "1,0,0") == 0
    assert "belong to no volume" not in (tmp_path / "out/report.json").read_text()
    truth = json.loads((tmp_path / "out/annotations/train_truth.json").read_bytes())
    assert [a["bbox"][1] for a in truth["annotations"]] == [10, 11]


def test_bookmarks_measured_on_masks_beside_the_images(tmp_path):
    root = tmp_path / "set"
    write(root, "LNQ")
    assert run(root, root, root, "--split", "1,0,0", "--keep-empty", "volumes") == 0
    train = json.loads((tmp_path / "out/annotations/train.json").read_bytes())
    assert len(train["annotations"]) == 2  # the images are no masks, the masks no images
    assert len({image["volume_id"] for image in train["images"]}) == 2


def test_packed_masks_are_named(tmp_path, capsys):
    masks = write(tmp_path / "set", "ULS23")
    for path in sorted(masks.iterdir()):
        with zipfile.ZipFile(f"{path}.zip", "w") as archive:
            archive.write(path, path.name)
        path.unlink()
    assert run(tmp_path / "set", masks, None) == 2
    assert "got 2 archives. Unpack them" in capsys.readouterr().err
    table = tmp_path / "marks.csv"
    columns = "slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"
    image = LAYOUTS["ULS23"][1][0]
    table.write_text(f"volume,{columns}\n{image},1,20,13,29,13,25,11,25,17\n")
    assert run(tmp_path / "set", table, masks) == 2
    assert "got 2 archives. Unpack them" in capsys.readouterr().err
