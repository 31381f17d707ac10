"""Model files: what is written is read; damaged and hostile files are refused and run nothing."""

import pickle
import random
import sys
from dataclasses import replace

import pytest
import torch
from tiny_models import tiny_record

from data_prep.atomic_files import json_bytes
from data_prep.errors import DataError
from mmglan.inference import model_file
from mmglan.inference.model_file import pack, read_model_file, write_model_file

WEIGHTS = {"a.weight": torch.arange(600.0).reshape(20, 30), "b": torch.tensor(3)}
# What Python reports when code is run, processes are started or files are changed.
EVENTS = ("exec", "compile", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")
EVENTS += ("pickle.find_class", "socket.connect", "os.remove", "os.rename", "os.mkdir")
seen, watching = [], False


def hook(event, arguments):
    if watching and (event in EVENTS or (event == "open" and arguments[1] not in ("r", "rb"))):
        seen.append((event, arguments))


sys.addaudithook(hook)


class Watch:
    def __enter__(self):
        global watching
        seen.clear()
        watching = True

    def __exit__(self, *_):
        global watching
        watching = False


@pytest.fixture(scope="module")
def record(tiny_model):
    return tiny_record(tiny_model[0])


@pytest.fixture
def path(record, tmp_path):
    write_model_file(tmp_path / "m.zip", record, WEIGHTS, {"card.html": b"<p>card</p>"})
    read_model_file(tmp_path / "m.zip")  # what the first reading imports is run here
    return tmp_path / "m.zip"


def refused(path, content) -> str:
    path.write_bytes(content)
    with Watch(), pytest.raises(DataError) as error:
        read_model_file(path)
    assert seen == []
    assert "\n" not in str(error.value)
    return str(error.value)


def members_of(path) -> dict[str, bytes]:
    return model_file._members(path, path.read_bytes())


def test_what_is_written_is_read(path, record):
    with Watch():
        found = read_model_file(path)
    assert seen == []
    assert replace(found.record, members={}) == record
    assert all(torch.equal(found.weights[name], value) for name, value in WEIGHTS.items())


def damaged(content: bytes, members: dict, other: dict, dice: random.Random) -> bytes:
    """One bit flipped, the end cut off, or members exchanged with those of another file."""
    kind = dice.randrange(4)
    if kind == 0:
        place = dice.randrange(len(content))
        return (
            content[:place]
            + bytes([content[place] ^ 1 << dice.randrange(8)])
            + content[place + 1 :]
        )
    if kind == 1:
        return content[: dice.randrange(len(content))]
    names = list(members)
    if kind == 2:
        one, two = dice.sample(names, 2)
        swapped = {**members, one: members[two], two: members[one]}
    else:
        chosen = dice.sample(names, dice.choice([1, 2]))
        swapped = {**members, **{name: other[name] for name in chosen}}
    # The hash over the file is made again, as a program that swaps members would.
    return pack(swapped)


def trial(path, record, count, tmp_path):
    content, members = path.read_bytes(), members_of(path)
    write_model_file(
        tmp_path / "o.zip",
        replace(record, name="other"),
        {name: value + 1 for name, value in WEIGHTS.items()},
        {"card.html": b"<p>another</p>"},
    )
    other = members_of(tmp_path / "o.zip")
    dice = random.Random(1)
    for _ in range(count):
        bad = damaged(content, members, other, dice)
        assert bad != content
        refused(tmp_path / "bad.zip", bad)


def test_damaged_files_are_refused(path, record, tmp_path):
    trial(path, record, 300, tmp_path)


@pytest.mark.slow
def test_five_thousand_damaged_files_are_refused(path, record, tmp_path):
    trial(path, record, 5000, tmp_path)


def hostile(path, tmp_path, change) -> str:
    """Refusal of a file whose hashes fit, after a change of its description."""
    members = members_of(path)
    content = model_file.msgspec.json.decode(members["model.json"])
    change(content)
    return refused(tmp_path / "bad.zip", pack({**members, "model.json": json_bytes(content)}))


CALL = "__import__('os').system('true')"


@pytest.mark.parametrize(
    "place, value",
    [
        (("model", "type"), "os.system"),
        (("model", "type"), "antigravity"),
        (("model", "backbone", "type"), "subprocess.Popen"),
        (("model", "backbone", "init_cfg"), {"type": "Pretrained", "checkpoint": "x.pth"}),
        (("model", "backbone", "type"), "BertModel"),
        (("model", "test_cfg", "rcnn", "nms", "type"), CALL),
        (("model", "test_cfg", "rcnn", "nms", "type"), "print"),
        (("model", "teacher_config"), "config.py"),
        (("model", "_scope_"), "antigravity"),
        (("model", "detector"), "os.system"),
        (("model", "detector"), {"type": "os.system"}),
        (("model", "backbone.type"), "os.system"),
        (("model", "type"), {"type": "MaskRCNN"}),
        (("pipeline", 0, "type"), "mmcv.LoadImageFromFile"),
        (("pipeline", 0, "type"), "Albu"),
        (("pipeline", 0, "backend_ckpt"), "x"),
        (("model",), "TwoStageDetector"),
        (("pipeline",), "x"),
        (("classes",), [1]),
        (("stacking",), {"score": "exec"}),
        (("stacking", "type"), "x"),
        (("custom_imports",), {"imports": ["antigravity"]}),
    ],
)
def test_a_config_that_names_other_code_is_refused(path, tmp_path, place, value):
    def change(content):
        part = content["config"]
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = value

    said = hostile(path, tmp_path, change)
    assert "Expected" in said and "antigravity" not in sys.modules


def test_weights_are_not_unpickled(path, tmp_path):
    class Call:
        def __reduce__(self):
            return (exec, ("raise SystemExit",))

    members = {**members_of(path), "weights.safetensors": pickle.dumps(Call())}
    content = model_file.msgspec.json.decode(members["model.json"])
    content["members"]["weights.safetensors"] = model_file._sha256(members["weights.safetensors"])
    members["model.json"] = json_bytes(content)
    assert "weights that cannot be read" in refused(tmp_path / "bad.zip", pack(members))


@pytest.mark.parametrize("change", ["another schema", "no curve", "more members", "deep"])
def test_other_descriptions_are_refused(path, tmp_path, change):
    members = members_of(path)
    if change == "more members":
        said = refused(tmp_path / "bad.zip", pack({**members, "../evil": b""}))
    elif change == "deep":
        deep = b"[" * 100_000
        said = refused(tmp_path / "bad.zip", pack({**members, "model.json": deep}))
    else:
        wrong = {"schema": 2} if change == "another schema" else {"froc": 1}
        said = hostile(path, tmp_path, lambda content: content.update(wrong))
    assert "Expected a model file but got" in said
