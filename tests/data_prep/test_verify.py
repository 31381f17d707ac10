"""`python -m data_prep.verify`: a sound data set passes, each kind of damage is named."""

import json
import shutil

import cv2
import numpy as np
import pytest

from data_prep import prepare, verify
from data_prep.dataset.checks import spread


@pytest.fixture(scope="module")
def sound(phantom_dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("sound") / "out"
    source = ["--images", phantom_dataset / "images", "--masks", phantom_dataset / "masks"]
    source += ["--bookmarks", phantom_dataset / "bookmarks.csv", "--keep-empty", "volumes"]
    options = ["--max-empty", 2, "--context", 1, "--out-dir", out, "--quiet", "--overlays", 0]
    assert prepare.main([*map(str, source + options)]) == 0
    return out


@pytest.fixture
def data(sound, tmp_path):
    """A copy to damage."""
    shutil.copytree(sound, tmp_path / "data")
    return tmp_path / "data"


def check(folder):
    """Exit status and report."""
    out = folder.parent / "checked"
    status = verify.main([str(folder), "--out-dir", str(out), "--quiet"])
    return status, json.loads((out / "dataset_report.json").read_bytes())


def edit(folder, name, change):
    path = folder / "annotations" / f"{name}.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))
    return content


def first_image(folder, split="train"):
    """A listed slice with a lesion."""
    content = json.loads((folder / "annotations" / f"{split}.json").read_bytes())
    wanted = content["annotations"][0]["image_id"]
    return next(image["file_name"] for image in content["images"] if image["id"] == wanted)


def test_a_sound_set_passes_with_its_figures(sound, tmp_path, capsys):
    out = tmp_path / "checked"
    assert verify.main([str(sound), "--out-dir", str(out)]) == 0
    report = json.loads((out / "dataset_report.json").read_bytes())
    assert report["problems"] == []
    for split in ("train", "val", "test"):
        content = json.loads((sound / "annotations" / f"{split}.json").read_bytes())
        figures = report["splits"][split]
        assert figures["lesions"] == len(content["annotations"])
        assert figures["slices"] == len(content["images"])
        assert figures["slices_without_lesion"] >= 2
        axes = sorted(a["short_axis_mm"] for a in content["annotations"])
        assert figures["short_axis_mm"]["min"] == pytest.approx(axes[0], abs=1e-3)
        assert figures["short_axis_mm"]["max"] == pytest.approx(axes[-1], abs=1e-3)
        assert figures["spacings_mm"] == {"3.5 × 3.5 × 6": len(content["images"])}
    for name in ("histograms.png", "lesions.png"):
        picture = cv2.imread(str(out / name))
        assert picture.shape[0] > 300 and picture.std() > 10
    text = (out / "dataset_report.md").read_text()
    assert text in capsys.readouterr().out
    assert "| split | patients | volumes |" in text and "0 problems" in text


def test_spread_of_hand_made_values():
    wanted = {"min": 1.0, "q25": 2.0, "median": 3.0, "q75": 4.0, "max": 5.0}
    assert spread([5, 1, 3, 2, 4]) == wanted
    assert spread([]) is None


def damage_missing(folder):
    name = first_image(folder)
    (folder / "images" / name).unlink()
    return (
        f"train: images/{name} is refused: Expected a PNG slice but it cannot be read (No such "
        "file or directory). Copy it again."
    )


def damage_cut(folder):
    name = first_image(folder)
    path = folder / "images" / name
    path.write_bytes(path.read_bytes()[:40])
    return (
        f"train: images/{name} is refused: Expected a sound PNG slice but got a broken one. Copy it"
        " again."
    )


def damage_constant(folder):
    name = first_image(folder)
    cv2.imwrite(str(folder / "images" / name), np.full((80, 80), 7, np.uint16))
    return f"train: images/{name} has one value only"


def damage_depth(folder):
    name = first_image(folder)
    cv2.imwrite(str(folder / "images" / name), np.zeros((80, 80), np.uint8))
    return f"train: images/{name} is uint8 (80, 80), not one 16-bit channel"


def damage_size(folder):
    name = first_image(folder)
    image = cv2.imread(str(folder / "images" / name), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(folder / "images" / name), image[:70])
    return f"train: images/{name} has 80 × 70 pixels, the annotations say 80 × 80"


def damage_spacing(folder):
    def change(content):
        content["images"][0]["spacing_mm"] = [0, 1, 1]

    content = edit(folder, "val", change)
    return f"val: images/{content['images'][0]['file_name']} has the spacing [0, 1, 1]"


def damage_leak(folder):
    source = json.loads((folder / "annotations" / "train.json").read_bytes())["images"][0]

    def change(content):
        content["images"][0]["patient_id"] = source["patient_id"]

    content = edit(folder, "test", change)
    test_name = content["images"][0]["file_name"]
    return (
        f"leakage: patient {source['patient_id']} in test ({test_name}) and train"
        f" ({source['file_name']})"
    )


def damage_copied_slice(folder):
    one, other = first_image(folder, "train"), first_image(folder, "val")
    shutil.copy(folder / "images" / one, folder / "images" / other)
    return f"leakage: identical slices in train ({one}) and val ({other})"


def damage_box(folder):
    def change(content):
        content["annotations"][0]["bbox"] = [78.0, 10.0, 5.0, 4.0]

    lesion = edit(folder, "test", change)["annotations"][0]
    where = f"test: annotation {lesion['id']} on {first_image(folder, 'test')}"
    return f"{where}: box [78.0, 10.0, 5.0, 4.0] is outside 80 × 80"


def damage_repeat(folder):
    def change(content):
        content["annotations"].append(content["annotations"][0] | {"id": 9999})

    edit(folder, "train_recist", change)
    return f"train_recist: annotation 9999 on {first_image(folder)}: the same lesion twice"


def damage_repeat_from_the_other_end(folder):
    def change(content):
        lesion = content["annotations"][0]
        turned = [lesion["recist"][i] for i in (2, 3, 0, 1, 4, 5, 6, 7)]
        content["annotations"].append(lesion | {"id": 9999, "recist": turned})

    edit(folder, "val", change)
    return f"val: annotation 9999 on {first_image(folder, 'val')}: the same lesion twice"


def damage_empty_mask(folder):
    def change(content):
        content["annotations"][0]["segmentation"]["counts"] = "`b6"

    lesion = edit(folder, "val", change)["annotations"][0]
    return f"val: annotation {lesion['id']} on {first_image(folder, 'val')}: empty mask"


def damage_mask_code(folder):
    def change(content):
        content["annotations"][0]["segmentation"]["counts"] = "zzz!!!~~~"

    lesion = edit(folder, "val", change)["annotations"][0]
    return f"val: annotation {lesion['id']} on {first_image(folder, 'val')}: damaged mask"


def damage_orphan(folder):
    def change(content):
        content["annotations"][0]["image_id"] = 10**6

    lesion = edit(folder, "train", change)["annotations"][0]
    return f"train: annotation {lesion['id']} is of no image of the file"


def damage_box_3d(folder):
    def change(content):
        content["lesions"][0]["box3d"] = [1, 2, 3, 80, 4, 5]

    lesion = edit(folder, "volumes_train", change)["lesions"][0]
    return (
        f"volumes_train: lesion {lesion['id']} has the box [1, 2, 3, 80, 4, 5] in"
        f" {lesion['volume_id']} of 80 × 80 × 10 voxels"
    )


DAMAGES = [value for name, value in sorted(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_damage_is_named_and_fails(data, damage, capsys):
    wanted = damage(data)
    status, report = check(data)
    assert status == 1
    assert wanted in report["problems"]
    assert wanted in capsys.readouterr().out


def reword_points(content):
    content["annotations"][0]["recist"][3] = "7"


def flatten(content):
    content["lesions"][0]["box3d"] = [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        (
            "train",
            lambda c: c["annotations"][0].pop("bbox"),
            "entry 1 of annotations: Object missing required field `bbox`",
        ),
        (
            "val_recist",
            lambda c: c["annotations"][1]["bbox"].pop(),
            "entry 2 of annotations, .bbox: Expected `array` of length >= 4",
        ),
        ("train", reword_points, "entry 1 of annotations, .recist[3]: Expected `float`, got `str`"),
        (
            "train_truth",
            lambda c: c["images"][2].pop("patient_id"),
            "entry 3 of images: Object missing required field `patient_id`",
        ),
        ("volumes_train", flatten, "entry 1 of lesions, .box3d: Expected `array` of length >= 6"),
    ],
)
def test_entries_that_are_none(data, capsys, name, change, error):
    edit(data, name, change)
    assert verify.main([str(data), "--quiet"]) == 2
    assert capsys.readouterr().err == (
        f"error: {name}.json: {error}. Name the folder that data_prep.prepare wrote, or run it"
        " again.\n"
    )


def test_files_that_are_cut_off_or_others(data, capsys):
    edit(data, "volumes_val", lambda content: content.pop("volumes"))
    assert verify.main([str(data), "--quiet"]) == 2
    assert capsys.readouterr().err == (
        "error: volumes_val.json: Expected the lists volumes, lesions but got something else. Name"
        " the folder that data_prep.prepare wrote, or run it again.\n"
    )
    path = data / "annotations" / "volumes_test.json"
    path.write_bytes(path.read_bytes()[:-9])
    assert verify.main([str(data), "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("error: volumes_test.json: Expected JSON but got: ")


def test_a_report_that_cannot_be_written_is_one_line(data, capsys):
    (data / "file").write_text("")
    assert verify.main([str(data), "--quiet", "--out-dir", str(data / "file" / "x")]) == 2
    assert capsys.readouterr().err == (
        "error: x: Expected to write the report but got: Not a directory. Name another --out-dir.\n"
    )


def test_numbers_that_are_not_finite(data, capsys):
    path = data / "annotations" / "val.json"
    path.write_text(path.read_text().replace('"area":', '"area":NaN,"old":', 1))
    assert verify.main([str(data), "--quiet"]) == 2
    error = "error: val.json: Expected finite numbers but got NaN. Run data_prep.prepare again.\n"
    assert capsys.readouterr().err == error


def test_a_folder_without_annotations(tmp_path, capsys):
    assert verify.main([str(tmp_path)]) == 2
    assert "Expected annotations/train.json, val.json or test.json" in capsys.readouterr().err


def test_folds_are_checked_each(phantom_dataset, tmp_path):
    out = tmp_path / "data"
    source = ["--images", phantom_dataset / "images", "--bookmarks"]
    source += [phantom_dataset / "bookmarks.csv", "--folds", 3, "--out-dir", out, "--quiet"]
    assert prepare.main([*map(str, source)]) == 0
    status, report = check(out)
    assert status == 0 and len(report["splits"]) == 9
    train = (out / "annotations" / "fold1" / "train.json").read_bytes()
    (out / "annotations" / "fold1" / "val.json").write_bytes(train)
    status, report = check(out)
    assert status == 1 and any("leakage: patient" in line for line in report["problems"])
