"""Files are written whole or not at all, and never through a link."""

import json
import multiprocessing
import os

import pytest

from data_prep import atomic_files
from data_prep.dataset.output_folder import OutputError, OutputFolder


def test_json_is_sorted_and_holds_no_nan(tmp_path):
    path = atomic_files.write_json(tmp_path / "sub" / "x.json", {"b": 1, "a": [2, 3]})
    assert path.read_bytes() == b'{"a":[2,3],"b":1}\n'
    atomic_files.write_json(path, {"b": 1, "a": 2}, indent=2)
    assert path.read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'
    for indent in (None, 1):
        with pytest.raises(ValueError, match="not JSON compliant"):
            atomic_files.write_json(path, float("nan"), indent=indent)
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]


def test_tables_are_utf8_and_lost_bytes_become_question_marks(tmp_path):
    rows = ([name, 1.5] for name in ("ü,x", "\udcff"))
    path = atomic_files.write_csv(tmp_path / "t.csv", ["name", "value"], rows)
    assert path.read_bytes() == 'name,value\n"ü,x",1.5\n?,1.5\n'.encode()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = atomic_files.write_bytes(tmp_path / "a.bin", b"old")
    with pytest.raises(TypeError):
        atomic_files.write_bytes(path, "not bytes")
    with pytest.raises(KeyboardInterrupt), atomic_files.open_atomically(path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    mask = os.umask(0o027)
    try:
        atomic_files.write_text(tmp_path / "a.txt", "ü")
    finally:
        os.umask(mask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def plant(folder, victim, *names):
    """Links to `victim` under names that a writer could be expected to use."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for guess in (
            name,
            f"{name}.part",
            f".{name}.part",
            f".part-{name}",
            f".{name}.{os.getpid()}",
            f"{name}.{os.getpid()}.part",
        ):
            (folder / guess).symlink_to(victim)


def test_planted_links_are_replaced_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("years of work")
    plant(tmp_path / "out", victim, "a.json", "link")
    atomic_files.write_json(tmp_path / "out" / "a.json", [1])
    atomic_files.write_link(tmp_path / "out" / "link", "a.json")
    assert victim.read_text() == "years of work"
    assert not (tmp_path / "out" / "a.json").is_symlink()
    assert (tmp_path / "out" / "link").read_text() == "[1]\n"


def test_a_linked_lock_is_refused(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("years of work")
    plant(tmp_path / "out" / ".state", victim, "lock")
    with pytest.raises(OutputError, match="Expected a folder that can be written"):
        OutputFolder(tmp_path / "out", {})
    assert victim.read_text() == "years of work"


def write_often(path, number):
    for i in range(300):
        atomic_files.write_json(path, {"writer": number, "text": "x" * 5000, "i": i})


def test_two_writers_at_once_never_fail(tmp_path):
    path = tmp_path / "shared.json"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(path, i)) for i in range(2)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            assert len(json.loads(path.read_bytes())["text"]) == 5000
            seen += 1
    assert [writer.exitcode for writer in writers] == [0, 0] and seen
    assert [file.name for file in tmp_path.iterdir()] == ["shared.json"]


def test_nothing_else_in_the_repository_renames_files(repository):
    """Whatever writes a file through a temporary name is in `atomic_files`."""
    allowed = repository / "data_prep" / "atomic_files.py"
    for package in ("data_prep", "mmglan", "tools"):
        for file in (repository / package).rglob("*.py"):
            assert file == allowed or "os.replace(" not in file.read_text(), file
