"""What differs between two configs of the zoo, in words.

Each kind of setting that the zoo varies has a rule; what no rule knows is given as path and values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mmglan.experiments.config_diff import ABSENT, Change

Changes = Mapping[str, Change]
WRAPPER = "UncertaintyLossWrapper"
_SAME: Change = (ABSENT, ABSENT)
_FORM: Change = ("one form", "another form")


def _detectors(changes: Changes) -> Change:
    """The detectors inside the wrapper, where there is one; `ABSENT` where they do not differ."""
    types = changes.get("model.type", (WRAPPER, WRAPPER))
    wrapped = changes.get("model.detector", _SAME)
    old, new = (w if t == WRAPPER else t for t, w in zip(types, wrapped, strict=True))
    return _SAME if old == new or ABSENT in (old, new) else (old, new)


def _losses(changes: Changes) -> list[str]:
    types, tasks = changes.get("model.type", _SAME), changes.get("model.tasks", _SAME)
    sentences = []
    if types[1] == WRAPPER:
        sentences.append(f"The losses are weighted by learned uncertainty (tasks of {tasks[1]}).")
    elif types[0] == WRAPPER:
        sentences.append("The losses have fixed weights, not learned ones.")
    old, new = _detectors(changes)
    if new is not ABSENT:
        sentences.append(f"The detector is {new}, not {old}.")
    if ABSENT not in tasks:
        sentences.append(f"The uncertainties are those of {tasks[1]}, not {tasks[0]}.")
    return sentences


def _attention(changes: Changes) -> list[str]:
    old, new = changes.get("model.roi_head.type", _SAME)
    attends = ["GlobalLocal" in str(kind) for kind in (old, new)]
    if attends == [False, True]:
        sizes = changes.get("model.roi_head.attention.global_sizes", _SAME)[1]
        shares = _shares([1.0] if sizes is ABSENT else sizes)
        return [f"The box branch attends to global features (boxes of {shares} of the image)."]
    if new is ABSENT:
        return ["There is no RoI head."] if old is not ABSENT else []
    if attends == [True, False]:
        return ["The box branch sees local features only: no global-local attention."]
    if old is ABSENT:
        return [f"There is a RoI head ({new})."]
    return [f"The RoI head is {new}, not {old}."]


def _mask_branch(changes: Changes) -> list[str]:
    path = "model.roi_head.mask_head"
    change = changes.get(path, changes.get(f"{path}.type", changes.get(f"{path}.0.type")))
    if change is None:
        return []
    return [
        "There is no mask branch." if change[1] in (None, ABSENT) else "There is a mask branch."
    ]


# The parts that also explain other paths: words, and the paths they explain.
_LEADING: tuple[tuple[Callable[[Changes], list[str]], str], ...] = (
    (_losses, r"^model\.(type|detector|tasks)$"),
    (_attention, r"^model\.roi_head\.(type$|attention)"),
    (
        _mask_branch,
        r"^model\.(roi_head\.mask_|train_cfg\.rcnn\.(\d\.)?mask_size$"
        r"|test_cfg\.rcnn\.mask_thr|data_preprocessor\.pad_mask$)",
    ),
)
_TASKS = {
    "rpn_head.loss_cls": "RPN classification",
    "rpn_head.loss_bbox": "RPN box",
    "bbox_head.loss_cls": "classification",
    "bbox_head.loss_bbox": "box",
    "mask_head.loss_mask": "mask",
}


def _task(path: str) -> str:
    return next((words for part, words in _TASKS.items() if part in path), path)


def _shares(sizes: list[float]) -> str:
    return ", ".join(f"{size:g}" for size in sizes)


def _file_name(value: Any) -> str:
    return str(value).rsplit("/", 1)[-1]


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _neighbours(count: Any) -> str:
    if count in (0, ABSENT):
        return "read without neighbouring slices"
    return f"read with {count} neighbouring slice{'s' * (count > 1)} on either side"


# Settings of a split -> what is said of it; splits of which the same is said share a sentence.
_OF_SPLITS: tuple[tuple[str, Callable[[Any, Any], str]], ...] = (
    (r"dataloader\.dataset\.data_root$", lambda old, new: f"read from {new}, not {old}"),
    (
        r"dataloader\.dataset\.ann_file$",
        lambda old, new: f"read from {_file_name(new)}, not {_file_name(old)}",
    ),
    (r"pipeline\.\d\.context$", lambda old, new: _neighbours(new)),
    (r"pipeline\.\d\.with_mask$", lambda old, new: f"read {'with' if new else 'without'} masks"),
    (
        r"evaluator\.iou_types$",
        lambda old, new: "scored by boxes and masks" if "segm" in new else "scored by boxes alone",
    ),
    (
        r"evaluator\.volumes_file$",
        lambda old, new: (
            "scored slice by slice only"
            if new is ABSENT
            else f"stacked to volumes and compared with {_file_name(new)}"
        ),
    ),
)
# Path -> a sentence with the new and the old value.
_PLAIN: tuple[tuple[str, str], ...] = (
    (r"^model\.backbone\.type$", "The backbone is {new}, not {old}."),
    (r"^model\.backbone\.depth$", "The backbone has {new} layers, not {old}."),
    (r"^model\.neck\.type$", "The neck is {new}, not {old}."),
    (r"^model.*loss_weight$", "The weight of the {task} loss is {new}, not {old}."),
    (r"^model.*loss_\w+\.type$", "The {task} loss is {new}, not {old}."),
    (r"rcnn\.sampler\.num$", "{new} RoIs are sampled per image, not {old}."),
    (r"rcnn\.sampler\.pos_fraction$", "At most {new} of the RoIs are positive, not {old}."),
    (r"train_cfg\.rpn_proposal\.max_per_img$", "{new} proposals are kept in training, not {old}."),
    (r"test_cfg\.rcnn\.nms\.iou_threshold$", "Results are thinned at IoU {new}, not {old}."),
    (r"^optim_wrapper\.optimizer\.type$", "The optimiser is {new}, not {old}."),
    (r"^optim_wrapper\.optimizer\.lr$", "The learning rate is {new}, not {old}."),
    (r"^optim_wrapper\.clip_grad\.max_norm$", "Gradients are clipped to norm {new}, not {old}."),
    (r"^train_cfg\.max_epochs$", "Training takes {new} epochs, not {old}."),
    (r"^train_cfg\.val_interval$", "Validation is every {new} epochs, not {old}."),
)


def _special(path: str, change: Change, changes: Changes) -> str | None:
    """Sentence about a setting whose words depend on its values; None if it is none of these."""
    old, new = change
    if path.endswith("attention.norm_cfg.type"):
        return f"The attention is normalised by {'its default' if new is ABSENT else new}."
    if path.endswith("attention.global_sizes") and ABSENT not in change:
        return f"The global boxes cover {_shares(new)} of the image, not {_shares(old)}."
    if path.endswith("dataset.filter_cfg.filter_empty_gt") and ABSENT not in change:
        return f"Slices without lesions are {'left out of' if new else 'part of'} training."
    if path == "train_dataloader.sampler.type" and new == "LesionBalancedSampler":
        share = changes.get("train_dataloader.sampler.lesion_free_fraction", (None, 0.25))[1]
        return f"The share of slices without lesions in an epoch is {share:g}."
    if path == "train_dataloader.sampler.type" and old == "LesionBalancedSampler":
        return "The share of slices without lesions in an epoch is that of the data."
    if path == "load_from" and ABSENT not in change:
        if new is None:
            return "Training starts from scratch."
        return f"Training starts from {_file_name(new)}, not {_file_name(old)}."
    if path == "optim_wrapper.type":
        return f"Training is in {'mixed' if 'Amp' in str(new) else 'full'} precision."
    return None


def _sentence(path: str, change: Change, changes: Changes) -> str:
    old, new = change
    if change is _FORM:
        return f"{path} has another form."
    if said := _special(path, change, changes):
        return said
    for pattern, words in _PLAIN:
        if re.search(pattern, path) and ABSENT not in change:
            return words.format(task=_task(path), new=_value(new), old=_value(old))
    if old is ABSENT:
        return f"{path} is {new!r}; the first has none."
    if new is ABSENT:
        return f"{path} is gone; the first has {old!r}."
    return f"{path} is {new!r}, not {old!r}."


def _of_splits(changes: Changes) -> tuple[list[str], set[str]]:
    """Sentences about the splits, and the paths that they cover."""
    said: dict[str, list[str]] = {}
    covered = set()
    for split in ("train", "val", "test"):
        for path, (old, new) in changes.items():
            for pattern, phrase in _OF_SPLITS:
                if re.match(rf"{split}_(\w+\.)*{pattern}", path):
                    said.setdefault(phrase(old, new), []).append(split)
                    covered.add(path)
        root, file = (
            changes.get(f"{split}_dataloader.dataset.{name}", (None, ""))[1]
            for name in ("data_root", "ann_file")
        )
        annotations = f"{split}_evaluator.ann_file"
        truth = str(changes.get(annotations, _SAME)[1])
        if (root or file) and truth.startswith(root or "") and truth.endswith(file):
            covered.add(annotations)  # the metric reads what the data set reads
    sentences = []
    for phrase, splits in said.items():
        subject = " and ".join(filter(None, [", ".join(splits[:-1]), splits[-1]]))
        verb = "splits are" if len(splits) > 1 else "split is"
        sentences.append(f"The {subject} {verb} {phrase}.")
    return sentences, covered


def _without_consequences(changes: Changes) -> dict[str, Change]:
    """Leave out what follows from another change: settings of a part of another type or form."""
    exchanged = {path.removesuffix("type") for path in changes if path.endswith(".type")}
    stages = {m[1] for path in changes if (m := re.match(r"(.+?)\.\d+\.", path))}
    listed = {stage for stage in stages if any(re.match(rf"{stage}\.[a-z]", p) for p in changes)}

    def follows(path: str) -> bool:
        if path.endswith("loss_weight") and ABSENT not in changes[path]:
            return False
        if path == "model.neck.in_channels":
            return "model.backbone." in exchanged
        in_part = any(path.startswith(part) and path != f"{part}type" for part in exchanged)
        return in_part or any(path.startswith(f"{stage}.") for stage in listed)

    kept = {path: change for path, change in changes.items() if not follows(path)}
    return kept | {f"{stage} (one per stage or one for all)": _FORM for stage in sorted(listed)}


def in_words(changes: Changes) -> list[str]:
    """Say what the differences are.

    Args:
        changes: see `config_diff.differences`.

    Returns:
        One sentence per difference, the ones that matter most first.
    """
    left = dict(changes)
    sentences = []
    for words, explained in _LEADING:
        if said := words(changes):
            sentences += said
            left = {path: c for path, c in left.items() if not re.search(explained, path)}
    about_splits, covered = _of_splits(left)
    left = _without_consequences({p: c for p, c in left.items() if p not in covered})
    alone = []
    if ABSENT not in _detectors(changes):
        alone = [p for p, change in left.items() if p.startswith("model.") and ABSENT in change]
    sentences += [_sentence(p, change, changes) for p, change in left.items() if p not in alone]
    if alone:
        sentences.append(f"{len(alone)} settings that only one of them has: see --paths.")
    return sentences + about_splits
