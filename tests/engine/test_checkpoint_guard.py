"""Files that would run code are refused; what training writes is read."""

import collections
import functools
import hashlib
import io
import os
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import runner
from mmengine.runner.checkpoint import _load_checkpoint

import mmglan.engine
from mmglan.engine.checkpoint_guard import main, safe_load

assert mmglan.engine  # importing it installs the guard


class Command:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture(params=["of this PyTorch", "of PyTorch before 2.6"], autouse=True)
def _reader(request, monkeypatch):
    """Both readers; the older one works with every PyTorch."""
    if "before" in request.param:
        monkeypatch.setattr("mmglan.engine.checkpoint_guard.NAMED_EXCEPTIONS", False)


@pytest.fixture
def hostile(tmp_path):
    """A checkpoint that makes a folder when it is unpickled, and that folder."""
    path, folder = tmp_path / "hostile.pth", tmp_path / "made_by_the_file"
    torch.save({"state_dict": {"a": torch.ones(2)}, "extra": Command(folder)}, path)
    return path, folder


def test_weights_are_read(tmp_path):
    torch.save({"state_dict": {"a": torch.arange(3.0)}, "meta": {"epoch": 4}}, tmp_path / "w.pth")
    content = _load_checkpoint(str(tmp_path / "w.pth"), map_location="cpu")
    assert content["state_dict"]["a"].tolist() == [0, 1, 2]
    assert content["meta"] == {"epoch": 4}


def test_hostile_file_is_refused_unopened_and_says_what_to_do(hostile):
    path, folder = hostile
    with pytest.raises(ValueError, match="Expected a checkpoint of plain weights") as error:
        _load_checkpoint(str(path))
    assert not folder.exists()
    assert "GLOBAL posix.mkdir" in str(error.value)
    assert f"mmglan convert-checkpoint {path} OUT.pth" in str(error.value)
    assert "\n" not in str(error.value)


def test_file_that_is_no_checkpoint_and_missing_file(tmp_path):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"text\.pth: Expected a checkpoint"):
        safe_load(tmp_path / "text.pth")
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/none\.pth: Expected .* Check load"):
        safe_load(tmp_path / "none.pth")


def test_log_histories_of_training_checkpoints_are_read(tmp_path):
    hub = MessageHub("guard")
    hub.update_scalar("train/loss", 1.0)
    hub.update_scalar("train/loss", 3.0)
    torch.save({"message_hub": hub.state_dict()}, tmp_path / "epoch.pth")
    history = safe_load(tmp_path / "epoch.pth")["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(history, HistoryBuffer)
    assert (history.mean(), history.current()) == (2.0, 3.0)


@pytest.mark.filterwarnings("ignore")  # PyTorch 2.13 gives TorchScript up
def test_programs_are_no_checkpoints(tmp_path):
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "program.pth")
    with pytest.raises(ValueError, match=r"Expected a checkpoint of plain weights .*TorchScript"):
        safe_load(tmp_path / "program.pth")


@pytest.mark.parametrize("numpy_name", ["numpy.core", "numpy._core"])
def test_histories_written_with_another_numpy_are_read(numpy_name, tmp_path):
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    buffer = io.BytesIO()
    torch.save({"loss": history}, buffer, _use_new_zipfile_serialization=False)
    text = buffer.getvalue()  # not zipped, so that names can be exchanged: they end with a newline
    own = np.array(0).__reduce__()[0].__module__.encode()
    assert own in text
    (tmp_path / "w.pth").write_bytes(text.replace(own, f"{numpy_name}.multiarray".encode()))
    assert safe_load(tmp_path / "w.pth")["loss"].mean() == 2


def test_what_training_checkpoints_hold_is_read(tmp_path):
    content = {
        "meta": {"epoch": 3, "seed": np.int64(4), "dataset_meta": {"classes": ("lesion",)}},
        "state_dict": collections.OrderedDict(a=torch.ones(2, dtype=torch.float16)),
        "optimizer": {"state": {0: {"momentum_buffer": None}}, "param_groups": [{"lr": 1e-3}]},
        "best": np.float64(0.5),
        "kind": torch.float64,
        "size": torch.Size([2, 3]),
        "parameter": torch.nn.Parameter(torch.zeros(1)),
    }
    torch.save(content, tmp_path / "w.pth")
    read = safe_load(tmp_path / "w.pth", "cpu")
    assert read["state_dict"]["a"].tolist() == [1, 1]
    del content["state_dict"], read["state_dict"]
    assert read == content


def test_other_attributes_of_histories_stay_out_of_reach(tmp_path):
    class Reach:
        def __reduce__(self):
            return getattr, (HistoryBuffer, "__init__")

    torch.save({"x": Reach()}, tmp_path / "reach.pth")
    with pytest.raises(ValueError, match="a reference to '__init__'"):
        safe_load(tmp_path / "reach.pth")


class Call:
    """Unpickling this calls a function; the function and its arguments may be such calls too."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments, state)

    def __call__(self):
        """Pickle takes callables only."""

    def __reduce__(self):
        return self.parts


def test_a_history_that_lists_further_methods_opens_no_way_to_them(tmp_path):
    methods = dict(HistoryBuffer._statistics_methods)
    listing = Call(HistoryBuffer, state={"statistics_methods": {"__getattribute__": 0}})
    attribute = Call(getattr, HistoryBuffer, "__getattribute__")
    names = Call(attribute, Call(getattr, HistoryBuffer, "mean"), "__globals__")
    builtins = Call(Call(attribute, names, "__getitem__"), "__builtins__")
    run = Call(Call(attribute, builtins, "__getitem__"), "eval")
    command = Call(run, f"__import__('os').mkdir({str(tmp_path / 'made')!r})")
    torch.save([listing, command], tmp_path / "reach.pth")
    try:
        with pytest.raises(ValueError, match="a reference to '__getattribute__'"):
            safe_load(tmp_path / "reach.pth")
    finally:
        HistoryBuffer._statistics_methods.clear()
        HistoryBuffer._statistics_methods.update(methods)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "call",
    [
        Call(np.ndarray, (1,), "O", bytes(8)),
        Call(np.ndarray, (1,), "f8", bytes(8)),
        Call(np.array(0).__reduce__()[0], np.ndarray, (1,), "O", state=(1, (1,), "O", False, [0])),
        Call(np.dtype, "O"),
        Call(np.dtype, [("a", "O")]),
    ],
)
def test_arrays_hold_plain_numbers_only(call, tmp_path):
    """NumPy would take the bytes of an array of objects for addresses."""
    torch.save(call, tmp_path / "array.pth")
    with pytest.raises(ValueError, match="Expected a checkpoint of plain weights"):
        safe_load(tmp_path / "array.pth")


def test_fields_that_lie_beyond_the_array_are_not_taken_over(tmp_path):
    fields = {"a": (np.dtype("f8"), 1 << 30)}
    number = Call(np.dtype, "f8", state=(3, "<", None, ("a",), fields, 8, 8, 63))
    torch.save(number, tmp_path / "type.pth")
    read = safe_load(tmp_path / "type.pth")
    assert (read, read.fields, read.flags) == (np.dtype("f8"), None, 0)


def test_arrays_and_scalars_are_those_written(tmp_path):
    for code in ("?", "i4", "i8", "u4", "f4", "f8"):
        array = np.arange(6).reshape(2, 3).astype(code)
        torch.save([array, array[1, 2]], tmp_path / "array.pth")
        read, number = safe_load(tmp_path / "array.pth")
        assert type(read) is np.ndarray and read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)
        assert type(number) is type(array[1, 2]) and number == array[1, 2]
    torch.save(read, tmp_path / "again.pth")
    np.testing.assert_array_equal(safe_load(tmp_path / "again.pth"), read)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_refused_by_name_whatever_their_readers_raise(zipped, tmp_path):
    content = {"log": HistoryBuffer([1.0], [1]), "state_dict": {"a": torch.ones(2)}}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "w.pth").read_bytes()
    for place in range(0, min(len(whole), 900), 3):
        damaged = whole[:place] + bytes([whole[place] ^ 0x95]) + whole[place + 1 :]
        (tmp_path / "w.pth").write_bytes(damaged)
        try:
            safe_load(tmp_path / "w.pth")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path}/w.pth: Expected a checkpoint of plain weig")
            assert "Found: Weights only load failed" not in str(error)  # says nothing


@pytest.fixture
def server(tmp_path):
    """Address of an HTTP server of a folder, and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *args: None
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()


def test_downloads_are_guarded_and_kept(server, tmp_path, monkeypatch):
    address, folder = server
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    torch.save({"state_dict": {"a": torch.ones(1)}}, folder / "good.pth")
    assert _load_checkpoint(f"{address}/good.pth")["state_dict"]["a"].item() == 1
    (folder / "good.pth").unlink()
    assert _load_checkpoint(f"{address}/good.pth")["state_dict"]["a"].item() == 1

    made = tmp_path / "made"
    torch.save({"x": Command(made)}, folder / "bad.pth")
    with pytest.raises(ValueError, match=r"bad\.pth: Expected a checkpoint of plain weights"):
        _load_checkpoint(f"{address}/bad.pth")
    assert not made.exists()


def test_address_that_cannot_be_fetched_says_what_to_do(server, tmp_path, monkeypatch):
    address, _ = server
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(ConnectionError, match=r"Expected to fetch .*404.* load_from=FILE") as error:
        _load_checkpoint(f"{address}/none.pth")
    assert f"put it at {tmp_path}/home/hub/checkpoints/none.pth" in str(error.value)
    assert list((tmp_path / "home/hub/checkpoints").iterdir()) == []


def test_a_hash_in_the_name_is_checked(server, tmp_path, monkeypatch):
    address, folder = server
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    torch.save({"state_dict": {"a": torch.ones(1)}}, folder / "w.pth")
    content = (folder / "w.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:8]
    (folder / f"w-{digest}.pth").write_bytes(content)
    assert _load_checkpoint(f"{address}/w-{digest}.pth")["state_dict"]["a"].item() == 1
    (folder / "w-00000000.pth").write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256 begins with 00000000"):
        _load_checkpoint(f"{address}/w-00000000.pth")
    assert not (tmp_path / "home/hub/checkpoints/w-00000000.pth").exists()


def test_a_note_of_a_run_directory_goes_nowhere_else(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    find = runner.find_latest_checkpoint  # what MMEngine calls for --resume
    assert find(str(run_dir)) is None
    torch.save({}, tmp_path / "outside.pth")
    (run_dir / "link.pth").symlink_to(tmp_path / "outside.pth")
    (run_dir / "last_checkpoint").write_text("work_dirs/before/epoch_3.pth\n")
    assert find(str(run_dir)) == str(run_dir / "epoch_3.pth")
    for note in ("http://127.0.0.1:1/epoch_3.pth", "open-mmlab://resnet50", "link.pth"):
        (run_dir / "last_checkpoint").write_text(note)
        with pytest.raises(ValueError, match=r"last_checkpoint: Expected .* --resume FILE"):
            find(str(run_dir))


def test_first_process_of_a_node_without_the_cache_of_rank_0_downloads(
    server, tmp_path, monkeypatch
):
    address, folder = server
    torch.save({"state_dict": {"a": torch.ones(1)}}, folder / "w.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "second node"))
    monkeypatch.setattr("mmglan.engine.checkpoint_guard.get_rank", lambda: 8)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(FileNotFoundError):
        _load_checkpoint(f"{address}/w.pth")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert _load_checkpoint(f"{address}/w.pth")["state_dict"]["a"].item() == 1


@pytest.mark.parametrize("path", ["s3://bucket/a.pth", "petrel://a.pth", "pavi://a.pth"])
def test_remote_storage_is_refused(path):
    with pytest.raises(ValueError, match=r"Expected a file or an http\(s\) address .* Copy"):
        _load_checkpoint(path)


def test_a_trusted_file_is_converted_by_hand_only(hostile, tmp_path, capsys):
    path, folder = hostile
    out = tmp_path / "plain.pth"
    with pytest.raises(SystemExit):
        main([str(path), str(out)])
    assert not out.exists() and not folder.exists()
    assert main([str(path), str(out), "--i-trust-this-file"]) == 0
    assert folder.exists()  # its code did run: that is what the flag says
    assert safe_load(out)["state_dict"]["a"].tolist() == [1, 1]
    assert "1 tensors" in capsys.readouterr().out


def test_conversion_of_a_file_without_weights_fails(tmp_path, capsys):
    torch.save({"meta": 1}, tmp_path / "empty.pth")
    status = main([str(tmp_path / "empty.pth"), str(tmp_path / "o.pth"), "--i-trust-this-file"])
    assert status == 2
    assert "Expected a state dict" in capsys.readouterr().err


def test_conversion_says_what_is_wrong_with_its_files(tmp_path, capsys):
    whole, damaged = tmp_path / "whole.pth", tmp_path / "damaged.pth"
    torch.save({"state_dict": {"a": torch.ones(1)}}, whole)
    damaged.write_bytes(b"garbage")
    for source, target, told in (
        (tmp_path / "none.pth", tmp_path / "o.pth", "none.pth: Expected a checkpoint but found"),
        (damaged, tmp_path / "o.pth", "damaged.pth: Expected a whole checkpoint but got"),
        (whole, tmp_path / "none/o.pth", "o.pth: Expected an existing folder but found none"),
    ):
        assert main([str(source), str(target), "--i-trust-this-file"]) == 2
        assert told in capsys.readouterr().err
