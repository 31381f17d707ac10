"""The output folder of `prepare`: which run owns it, what happens to it, and that reruns go on."""

import json
import resource
import shutil
import subprocess
import sys

import pytest
import SimpleITK as sitk

from data_prep import prepare
from data_prep.dataset.one_volume import process_volume
from data_prep.dataset.output_folder import OutputError, OutputFolder, write_output


def command(data, out, *more):
    source = ["--images", data / "images", "--bookmarks", data / "bookmarks.csv"]
    return [str(part) for part in (*source, "--out-dir", out, "--overlays", 2, "--quiet", *more)]


def run(data, out, *more):
    return prepare.main(command(data, out, *more))


def tree(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def done(phantom_dataset, tmp_path_factory):
    """An undisturbed run with one worker."""
    out = tmp_path_factory.mktemp("done") / "out"
    assert run(phantom_dataset, out) == 0
    return out


def test_two_workers_write_the_same_bytes(done, phantom_dataset, tmp_path):
    assert run(phantom_dataset, tmp_path / "out", "--jobs", 2) == 0
    assert tree(tmp_path / "out") == tree(done)


def test_dask_writes_the_same_bytes(done, phantom_dataset, tmp_path):
    assert run(phantom_dataset, tmp_path / "out", "--jobs", 2, "--backend", "dask") == 0
    assert tree(tmp_path / "out") == tree(done)


def test_threads_keep_the_notes_of_each_volume(phantom_dataset, tmp_path):
    data = tmp_path / "data"
    images = data / "images"
    images.mkdir(parents=True)
    source = sitk.ReadImage(str(phantom_dataset / "images" / "phantom_000.nii.gz"))
    rows = (phantom_dataset / "bookmarks.csv").read_text().splitlines()
    mark = next(row for row in rows if row.startswith("phantom_000.nii.gz"))
    lines = [rows[0]]
    for i in range(24):
        sitk.WriteImage(source + i, str(images / f"{i:02d}.nii"))
        content = bytearray((images / f"{i:02d}.nii").read_bytes())
        content[252:256] = bytes(4)  # no orientation
        (images / f"{i:02d}.nii").write_bytes(content)
        lines.append(mark.replace("phantom_000.nii.gz", f"{i:02d}.nii").replace("p00", f"q{i}"))
    (data / "bookmarks.csv").write_text("\n".join(lines))
    options = ["--split", "1,0,0"]
    assert run(data, tmp_path / "one", *options) == 0
    threads = ["--jobs", 4, "--backend", "threading"]
    assert run(data, tmp_path / "four", *options, *threads) == 0
    notes = (tmp_path / "one" / "notes.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in notes] == [f"{i:02d}.nii" for i in range(24)]
    assert tree(tmp_path / "four") == tree(tmp_path / "one")


def test_a_rerun_does_no_volume_again(done, phantom_dataset, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    before = {path: path.stat().st_mtime_ns for path in (out / "images").rglob("*.png")}
    monkeypatch.setattr(process_volume, "_process", None)  # would fail if it were called
    assert run(phantom_dataset, out) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tree(out) == tree(done)


def test_lost_files_come_back(done, phantom_dataset, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    slices = sorted((out / "images").rglob("*.png"))
    slices[0].unlink()
    (out / ".state" / "volumes" / "v0003.json").write_text('{"cut o')
    (out / "annotations" / "train.json").unlink()
    assert run(phantom_dataset, out) == 0
    assert tree(out) == tree(done)


def test_a_replaced_volume_is_done_again_and_leaves_no_trace(phantom_dataset, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(phantom_dataset, data)
    assert run(data, out, "--whole-volumes") == 0
    before = tree(out)
    path = data / "images" / "phantom_002.nii.gz"
    image = sitk.ReadImage(str(path))
    # Other intensities, and one slice less at the end.
    sitk.WriteImage(4000 - image[:, :, :-1], str(path))
    status = run(data, out, "--whole-volumes")
    after = tree(out)
    assert "images/v0003/v0003_0009.png" in before and "images/v0003/v0003_0009.png" not in after
    assert before["images/v0003/v0003_0004.png"] != after["images/v0003/v0003_0004.png"]
    assert before["images/v0002/v0002_0004.png"] == after["images/v0002/v0002_0004.png"]
    assert run(data, tmp_path / "fresh", "--whole-volumes") == status
    assert after == tree(tmp_path / "fresh")


def test_a_folder_of_something_else_is_left_alone(phantom_dataset, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    assert run(phantom_dataset, tmp_path / "out", "--overwrite") == 2
    assert capsys.readouterr().err == (
        "error: out: Expected an empty output folder, but got one with 1 entries that are not of"
        " an earlier run (such as 'thesis.tex'). Choose another --out-dir, or empty this one.\n"
    )
    assert tree(tmp_path / "out") == {"thesis.tex": b"years of work"}


def test_another_run_is_not_mixed_in(done, phantom_dataset, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    assert run(phantom_dataset, out, "--mask-method", "ellipse", "--context", 1) == 2
    assert capsys.readouterr().err == (
        "error: out: Expected a run with the same options, but got context 0 there and 1 here;"
        " mask_method 'bounded-lean' there and 'ellipse' here. Choose another --out-dir, or add"
        " --overwrite to replace the earlier run.\n"
    )
    assert tree(out) == tree(done)
    assert run(phantom_dataset, out, "--mask-method", "ellipse", "--overwrite") == 0
    assert json.loads((out / "report.json").read_bytes())["options"]["mask_method"] == "ellipse"
    assert run(phantom_dataset, out, "--overwrite") == 0
    assert tree(out) == tree(done)


def test_only_what_differs_is_named(phantom_dataset, tmp_path, capsys):
    options = ["--split", "1,0,0", "--mask-method"]
    assert run(phantom_dataset, tmp_path / "out", *options, "ellipse") == 0
    capsys.readouterr()
    assert run(phantom_dataset, tmp_path / "out", *options, "quadrilateral") == 2
    assert (
        "but got mask_method 'ellipse' there and 'quadrilateral' here." in capsys.readouterr().err
    )


def test_files_of_truth_go_when_no_mask_can_be_read_any_more(phantom_dataset, tmp_path):
    masks = tmp_path / "masks"
    shutil.copytree(phantom_dataset / "masks", masks)
    options = ["--masks", masks, "--mask-method", "ellipse"]
    assert run(phantom_dataset, tmp_path / "out", *options) == 0
    for mask in masks.iterdir():
        mask.write_bytes(mask.read_bytes()[:-20])
    assert run(phantom_dataset, tmp_path / "out", *options) == 1
    assert run(phantom_dataset, tmp_path / "fresh", *options) == 1
    again, fresh = (tree(tmp_path / name / "annotations") for name in ("out", "fresh"))
    assert again == fresh and sorted(fresh) == sorted(
        f"{split}{kind}.json" for split in ("train", "val", "test") for kind in ("", "_recist")
    )


def test_a_run_of_a_version_with_fewer_options_goes_on(done, phantom_dataset, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    statement = out / ".state/run.json"
    options = json.loads(statement.read_bytes())
    fewer = {name: value for name, value in options.items() if value is not None}
    assert len(fewer) < len(options)
    statement.write_text(json.dumps(fewer))
    assert run(phantom_dataset, out) == 0


def test_changed_bookmarks_are_another_run(phantom_dataset, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(phantom_dataset, data)
    assert run(data, tmp_path / "out") == 0
    lines = (data / "bookmarks.csv").read_text().splitlines(keepends=True)
    (data / "bookmarks.csv").write_text("".join(lines[:-1]))
    assert run(data, tmp_path / "out") == 2
    assert "Expected a run with the same options, but got bookmarks" in capsys.readouterr().err


def test_two_runs_in_one_folder_at_once(phantom_dataset, tmp_path, capsys):
    with OutputFolder(tmp_path / "out", {}):
        assert run(phantom_dataset, tmp_path / "out") == 2
    assert capsys.readouterr().err == (
        "error: out: Expected a folder that no other run is writing, but got one in use. Wait for"
        " that run, or choose another --out-dir.\n"
    )


@pytest.mark.parametrize(
    ("place", "reason"),
    [("file/out", "Not a directory"), ("file", "File exists")],
)
def test_a_place_that_cannot_be_a_folder(phantom_dataset, tmp_path, capsys, place, reason):
    (tmp_path / "file").write_text("")
    assert run(phantom_dataset, tmp_path / place) == 2
    name = place.split("/")[-1]
    assert capsys.readouterr().err == (
        f"error: {name}: Expected a folder that can be written, but got: {reason}. Choose another"
        " --out-dir.\n"
    )


def test_a_read_only_folder(phantom_dataset, capsys):
    # Rights do not bind the superuser; the kernel's own folders bind everybody.
    assert run(phantom_dataset, "/proc/self/task") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: task: Expected") and error.count("\n") == 1


def test_writing_where_nothing_can_be_written_names_the_file(tmp_path):
    (tmp_path / "images").write_text("a file where a folder should be")
    with pytest.raises(OutputError) as caught:
        write_output(tmp_path, "images/v0001/0000.png", b"12345")
    assert str(caught.value) == (
        "images/v0001/0000.png: Expected to write 5 bytes, but got: Not a directory. Free space or"
        " correct the permissions, then run the same command again; it goes on where it stopped."
    )
    assert list((tmp_path / ".state" / "tmp").iterdir()) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_stops_the_run_with_one_line_and_room_lets_it_go_on(
    done, phantom_dataset, tmp_path, jobs
):
    out = tmp_path / "out"
    call = [
        sys.executable,
        "-m",
        "data_prep.prepare",
        *command(phantom_dataset, out, "--jobs", jobs),
    ]

    def no_room():
        # Stands for a full disk: the system refuses to write beyond so many bytes of a file.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))

    stopped = subprocess.run(call, preexec_fn=no_room, capture_output=True, text=True)
    assert stopped.returncode == 2
    (line,) = stopped.stderr.splitlines()
    assert line.startswith("error: images/v0") and "but got: File too large. Free space" in line
    assert not (out / "annotations").exists()
    assert subprocess.run(call, capture_output=True).returncode == 0
    assert tree(out) == tree(done)


def test_overwrite_keeps_what_is_not_ours(done, phantom_dataset, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    (out / "thesis.tex").write_text("mine")
    assert run(phantom_dataset, out, "--mask-method", "paper", "--overwrite") == 0
    assert (out / "thesis.tex").read_text() == "mine"
