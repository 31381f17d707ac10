"""Context phantoms: lesions lie on the tumour's side, equal nodes on the other one."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.phantoms import abdomen, context

TINY = context.SIZES["tiny"]
SMALL = replace(TINY, patients=2, lesions=3)


@pytest.mark.parametrize(("size", "lesions"), [("tiny", 12), ("demo", 84), ("paper", 821)])
def test_every_patient_has_a_lesion_and_the_sum_is_that_of_the_size(size, lesions):
    counts = context.lesions_per_patient(context.SIZES[size])
    assert len(counts) == context.SIZES[size].patients
    assert counts.sum() == lesions and counts.min() >= 1
    assert counts.tolist() == context.lesions_per_patient(context.SIZES[size]).tolist()


def drawn_nodes(monkeypatch, seed, size=TINY):
    """Voxels, side and signal before acquisition of every enlarged node, and the tumour's side."""
    nodes, sides, paint, tumour = [], [], context._paint_node, context._paint_tumour

    def painted(rng, canvas, side, short_mm):
        node = paint(rng, canvas, side, short_mm)
        if node is not None and short_mm == context.ABNORMAL_MM:
            nodes.append((node, side, float(canvas.image[node].mean())))
        return node

    monkeypatch.setattr(context, "_paint_node", painted)
    monkeypatch.setattr(
        context, "_paint_tumour", lambda *args: (sides.append(args[2]), tumour(*args))
    )
    return context.make_study(seed, size, 2), nodes, sides[0]


def test_lesions_are_on_the_tumours_side_and_their_doubles_on_the_other(monkeypatch):
    tumours = set()
    for seed in range(4):
        study, nodes, tumour = drawn_nodes(monkeypatch, seed)
        monkeypatch.undo()
        tumours.add(tumour)
        columns = np.nonzero(study.labels)[2] - (TINY.shape[2] - 1) / 2
        assert (np.sign(columns) == tumour).all()
        inside = np.any([node for node, side, _ in nodes if side == tumour], axis=0)
        assert (inside == (study.labels > 0)).all()
        assert any(side == -tumour for _, side, _ in nodes)
        assert all(520 <= signal <= 640 for *_, signal in nodes)
    assert tumours == {-1, 1}


def test_who_does_not_know_the_side_needs_more_than_one_false_positive_per_slice(monkeypatch):
    per_slice = []
    for seed in range(8):
        study, nodes, tumour = drawn_nodes(monkeypatch, seed, context.SIZES["demo"])
        monkeypatch.undo()
        cuts = [node.any((1, 2)).sum() for node, side, _ in nodes if side == -tumour]
        per_slice.append(sum(cuts) / len(study.labels))
    assert np.mean(per_slice) > 1.2


def test_same_seed_same_bytes_and_one_bookmark_per_lesion(tmp_path):
    found = []
    for name in ("a", "b"):
        assert context.write_dataset(tmp_path / name, SMALL, seed=1) == 3
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found.append([(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files])
    assert found[0] == found[1] and len(found[0]) == 2 * 2 + 1
    read = read_bookmarks(tmp_path / "a" / "bookmarks.csv")
    assert not read.errors and len(read.records) == 3


def test_vessels_cross_the_slices():
    canvas = abdomen.draw_body(np.random.default_rng(0), TINY.shape, TINY.spacing_mm)
    canvas.taken[:] = False
    before = canvas.image.copy()
    context._paint_crossing_vessel(np.random.default_rng(1), canvas)
    columns = [np.nonzero(part)[1] for part in canvas.image != before]
    centres = [part.mean() for part in columns if len(part)]
    assert len(centres) > 3 and abs(centres[-1] - centres[0]) > 1
