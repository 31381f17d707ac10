"""What the commands say and leave behind when they cannot do what was asked."""

import json
import shutil

import cv2
import pytest


@pytest.fixture
def arguments(made_run):
    """By command, arguments without `--out`."""
    run, data = str(made_run / "run"), made_run / "data"
    truth = ["--gt", str(data / "annotations" / "test.json"), "--images", str(data / "images")]
    return {
        "report": [run, *truth],
        "plot_froc": [run],
        "plot_sigmas": [run],
        "plot_detections": [*truth, "--pred", f"{run}/results.bbox.json"],
    }


@pytest.mark.parametrize("name", ["report", "plot_froc", "plot_sigmas", "plot_detections"])
def test_a_folder_in_the_way_is_an_error(arguments, tool, tmp_path, capsys, name):
    out = tmp_path / "out.png"
    out.mkdir()
    assert tool(name).main([*arguments[name], "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert "error: " in message and str(out) in message
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_in_place_of_the_folder_is_an_error(made_run, tool, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    collect = tool("collect_results").main
    assert collect([str(made_run / "run"), "--out-dir", str(tmp_path / "out")]) == 2
    assert str(tmp_path / "out") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "option", "value", "lowest"),
    [
        ("report", "--max-slices", "-1", 0),
        ("report", "--max-side", "0", 1),
        ("plot_detections", "--count", "0", 1),
        ("plot_detections", "--columns", "0", 1),
        ("plot_detections", "--side", "x", 1),
        ("plot_detections", "--seed", "-1", 0),
    ],
)
def test_numbers_out_of_range(arguments, tool, capsys, name, option, value, lowest):
    with pytest.raises(SystemExit):
        tool(name).main([*arguments[name], option, value])
    assert f"{option}: expected a whole number of at least {lowest}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["report", "plot_detections"])
def test_an_image_of_another_size_is_named(made_run, arguments, tool, tmp_path, capsys, name):
    """Boxes would be drawn in wrong places."""
    images = tmp_path / "images"
    shutil.copytree(made_run / "data" / "images", images)
    picture = next(images.rglob("0001.png"))
    cv2.imwrite(str(picture), cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)[:90])
    place = arguments[name].index("--images") + 1
    changed = [*arguments[name][:place], str(images), *arguments[name][place + 1 :]]
    assert tool(name).main([*changed, "--out", str(tmp_path / "out")]) == 2
    words = "0001.png: Expected an image of 180 x 220 pixels, as the annotations say, but got 90"
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_metrics_and_slices_of_other_test_sets_are_not_mixed(
    made_run, arguments, tool, tmp_path, capsys
):
    """Ids of images start at 1 in every annotation file, so that alone tells nothing."""
    path = made_run / "data" / "annotations" / "test.json"
    truth = json.loads(path.read_text())
    lesions = len(truth["annotations"])
    del truth["annotations"][0]
    (tmp_path / "other.json").write_text(json.dumps(truth))
    changed = [str(tmp_path / "other.json") if a == str(path) else a for a in arguments["report"]]
    assert tool("report").main([*changed, "--out", str(tmp_path / "r.html")]) == 2
    words = f"n_lesions {lesions}, but got n_lesions {lesions - 1}. Name its annotations with --gt"
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_of_several_runs_the_broken_one_is_named(made_run, tool, tmp_path, capsys):
    for name in ("a", "b"):
        shutil.copytree(made_run / "run", tmp_path / name)
    (tmp_path / "b" / "results.metrics.json").write_text(json.dumps({"metrics": {}}))
    assert tool("collect_results").main([str(tmp_path), "--out-dir", str(tmp_path / "t")]) == 2
    assert (
        f"{tmp_path / 'b' / 'results.metrics.json'}: Expected metrics of schema 2"
        in capsys.readouterr().err
    )
    (tmp_path / "b" / "results.metrics.json").write_text("{")
    assert tool("plot_froc").main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert f"{tmp_path / 'b' / 'results.metrics.json'}: Expected JSON" in capsys.readouterr().err
