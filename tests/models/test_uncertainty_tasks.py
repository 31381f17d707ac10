"""Tasks over loss keys."""

import pytest

from mmglan.models.uncertainty_tasks import PRESETS, claim_keys, regression_tasks, resolve_tasks

RPN = {"loss_rpn_cls": "rpn_cls", "loss_rpn_bbox": "rpn_box"}
CASCADE_KEYS = [f"s{i}.loss_{kind}" for i in range(3) for kind in ("cls", "bbox", "mask")]


def test_one_sigma_per_task_in_mask_rcnn():
    keys = [*RPN, "loss_cls", "loss_bbox", "loss_mask"]
    assert claim_keys(keys, PRESETS["mask_rcnn"]) == {
        **RPN,
        "loss_cls": "cls",
        "loss_bbox": "box",
        "loss_mask": "mask",
    }


def test_cascade_per_task_and_per_stage():
    per_task = claim_keys([*RPN, *CASCADE_KEYS], PRESETS["cascade_mask_rcnn"])
    assert {k: per_task[k] for k in CASCADE_KEYS[:3]} == {
        "s0.loss_cls": "cls",
        "s0.loss_bbox": "box",
        "s0.loss_mask": "mask",
    }
    assert len(per_task) == 11 and len(set(per_task.values())) == 5
    per_stage = claim_keys([*RPN, *CASCADE_KEYS], PRESETS["cascade_mask_rcnn_per_stage"])
    assert per_stage["s2.loss_mask"] == "s2_mask"
    assert len(set(per_stage.values())) == 11


def test_unclaimed_keys_are_absent():
    keys = ["loss_cls", "loss_bbox", "loss_dfl"]
    assert claim_keys(keys, PRESETS["retinanet"]) == {"loss_cls": "cls", "loss_bbox": "box"}


def test_a_pattern_matches_whole_keys():
    assert claim_keys(["loss_cls_extra", "s0.loss_cls"], {"cls": ("loss_cls",)}) == {}


def test_two_owners():
    with pytest.raises(ValueError, match=r"one task for the loss 'loss_cls' but got \['a', 'b'\]"):
        claim_keys(["loss_cls"], {"a": ("loss_*",), "b": ("loss_cls",)})


def test_regression_is_told_by_name():
    assert regression_tasks(PRESETS["mask_rcnn"]) == ("rpn_box", "box")
    assert regression_tasks(PRESETS["cascade_rcnn_per_stage"]) == (
        "rpn_box",
        "s0_box",
        "s1_box",
        "s2_box",
    )
    assert regression_tasks(PRESETS["yolov3"]) == ("xy", "wh")
    assert regression_tasks(PRESETS["vfnet"]) == ("box", "box_refine")


def test_own_tasks():
    resolved = resolve_tasks({"first": "loss_a", "rest": ["loss_b", "loss_c*"]})
    assert resolved == {"first": ("loss_a",), "rest": ("loss_b", "loss_c*")}


@pytest.mark.parametrize("tasks", ["mask", {}, {"a": []}, {"loss_a": "loss_a"}], ids=str)
def test_bad_tasks(tasks):
    with pytest.raises(ValueError, match=r"Expected .* but got"):
        resolve_tasks(tasks)
