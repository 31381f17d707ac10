"""`mmglan fpr`: balls against spots that are bright on one slice only."""

import json

import cv2
import numpy as np
import pytest

from mmglan.commands import fpr

DEPTH, SIZE, BALL, SPOT = 8, 48, (12, 12, 4), (36, 34, 3)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("fpr")
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[:DEPTH, :SIZE, :SIZE]
    images, marks, results = [], [], []
    for volume in range(3):
        array = rng.normal(100, 5, (DEPTH, SIZE, SIZE))
        (bx, by, bz), (sx, sy, sz) = BALL, SPOT
        array[(x - bx) ** 2 + (y - by) ** 2 + (2 * (z - bz)) ** 2 < 30] += 80
        array[((x - sx) ** 2 + (y - sy) ** 2 < 30) & (z == sz)] += 80
        for k in range(DEPTH):
            name = f"v{volume}_{k}.png"
            cv2.imwrite(str(root / name), array[k].clip(0, 255).astype(np.uint8))
            image = {"id": len(images) + 1, "file_name": name, "volume_id": f"v{volume}"}
            images.append(image | {"slice_index": k, "width": SIZE, "height": SIZE})
            for (cx, cy, cz), score in ((BALL, 0.6), (SPOT, 0.9)):
                if abs(k - cz) <= (1 if score < 0.9 else 0):
                    box = [cx - 5, cy - 5, 11, 11]
                    results.append({"image_id": image["id"], "bbox": box, "score": score})
                    if (k, score) == (bz, 0.6):
                        marks.append({"id": volume + 1, "image_id": image["id"], "bbox": box})
    keys = [image for image in images if image["slice_index"] == BALL[2]]
    files = {
        "whole": {"images": images, "annotations": []},
        "marks": {"images": keys, "annotations": marks},
        "found": results,
    }
    for name, content in files.items():
        (root / f"{name}.json").write_text(json.dumps(content))
    return root


def shared(data, out, *words):
    given = ["--gt", data / "whole.json", "--pred", data / "found.json", "--images", data]
    return [str(word) for word in (*given, "--out", out, "--quiet", *words)]


def test_spots_fall_behind_balls(data, tmp_path, capsys):
    out, new = tmp_path / "fpr.pth", tmp_path / "new.json"
    words = ["--marks", data / "marks.json", "--epochs", 25, "--stack-score", "top3"]
    assert fpr.main(["train", *shared(data, out, *words)]) == 0
    assert "6 candidates: 3 lesions, 3 others." in capsys.readouterr().out
    assert fpr.main(["apply", str(out), *shared(data, new)]) == 0
    assert "6 candidates, stacked with iou 0.1, gap 0, score top3" in capsys.readouterr().out
    before, after = (json.loads(p.read_text()) for p in (data / "found.json", new))
    assert [row["bbox"] for row in before] == [row["bbox"] for row in after]
    balls = [row["score"] for row, old in zip(after, before, strict=True) if old["score"] == 0.6]
    spots = [row["score"] for row, old in zip(after, before, strict=True) if old["score"] == 0.9]
    assert min(balls) > max(spots)


def test_same_seed_same_bytes(data, tmp_path):
    words = ["--marks", data / "marks.json", "--epochs", 1]
    paths = [tmp_path / name for name in ("one", "two", "other")]
    for path, seed in zip(paths, (3, 3, 4), strict=True):
        assert fpr.main(["train", *shared(data, path, *words, "--seed", seed)]) == 0
    one, two, other = (path.read_bytes() for path in paths)
    assert one == two != other


def test_what_cannot_be_used_is_refused(data, tmp_path, capsys):
    none = tmp_path / "none.json"
    none.write_text(json.dumps({"images": [], "annotations": []}))
    out = tmp_path / "fpr.pth"
    assert fpr.main(["train", *shared(data, out, "--marks", none)]) == 2
    assert "with and without a lesion to train on but got 0 and 6" in capsys.readouterr().err
    assert not out.exists()
    assert fpr.main(["apply", str(data / "found.json"), *shared(data, out)]) == 2
    assert "Expected a checkpoint of plain weights" in capsys.readouterr().err
    marks = json.loads((data / "marks.json").read_text())
    del marks["images"][0]["volume_id"]
    (tmp_path / "nameless.json").write_text(json.dumps(marks))
    assert fpr.main(["train", *shared(data, out, "--marks", tmp_path / "nameless.json")]) == 2
    assert "Expected volume_id and slice_index" in capsys.readouterr().err
    whole = json.loads((data / "whole.json").read_text())
    whole["images"] = whole["images"][1:]
    (tmp_path / "part.json").write_text(json.dumps(whole))
    words = shared(data, out, "--marks", none, "--gt", tmp_path / "part.json")
    assert fpr.main(["train", *words]) == 2
    said = capsys.readouterr().err
    assert "Expected all slices of volume v0 from 0 on but got 7" in said or "image_id 1" in said


def test_no_slice_is_read_outside_the_folder_of_images(data, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    for path in data.glob("*.png"):
        (images / path.name).write_bytes(path.read_bytes())
    (images / "v0_3.png").unlink()
    (images / "v0_3.png").symlink_to(data / "v0_3.png")
    out = tmp_path / "fpr.pth"
    words = shared(data, out, "--marks", data / "marks.json", "--images", images)
    assert fpr.main(["train", *words]) == 2
    assert "v0_3.png" in capsys.readouterr().err
    assert not out.exists()
