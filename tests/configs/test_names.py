"""Every config differs from its neighbour in the zoo exactly as its name says."""

from pathlib import Path

import pytest

from mmglan.experiments.config_diff import ABSENT, differences
from mmglan.reporting.paper_tables import TABLES

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STEMS = {path.stem for path in CONFIGS.glob("[!_]*/*.py")}
OURS = "glan_r50_fpn_160e_lesions"
MASK = "mask-rcnn_r50_fpn_160e_lesions"
PLAIN = "glan_r50_fpn_wo-uncertainty_160e_lesions"
HEAD = "model.roi_head"


def weight(part: str) -> dict:
    return {f"model.{part}.loss_weight": (1.0, 10.0)}


def sizes(*shares: float) -> dict:
    return {f"{HEAD}.attention.global_sizes": ([1.0], list(shares))}


def of_data(root: str) -> dict:
    old = "data/lesions/"
    return {
        **{f"{s}_dataloader.dataset.data_root": (old, root) for s in ("train", "val", "test")},
        **{
            f"{s}_evaluator.ann_file": (f"{old}annotations/{s}.json", f"{root}annotations/{s}.json")
            for s in ("val", "test")
        },
    }


def of_tcia(root: str) -> dict:
    files = {"train": "train_truth", "val": "val_truth", "test": "test_whole"}
    folder = f"{root}annotations/fold0/"
    return {
        **of_data(root),
        **{
            f"{s}_dataloader.dataset.ann_file": (
                f"annotations/{s}.json",
                f"annotations/fold0/{name}.json",
            )
            for s, name in files.items()
        },
        **{
            f"{s}_evaluator.ann_file": (
                f"data/lesions/annotations/{s}.json",
                f"{folder}{files[s]}.json",
            )
            for s in ("val", "test")
        },
        "test_evaluator.volumes_file": (ABSENT, f"{folder}volumes_test.json"),
    }


BOXES_ONLY = {
    "train_dataloader.dataset.pipeline.1.with_mask": (True, False),
    "val_evaluator.iou_types": (["bbox", "segm"], ["bbox"]),
    "test_evaluator.iou_types": (["bbox", "segm"], ["bbox"]),
}
RECIST = {
    **BOXES_ONLY,
    "train_dataloader.dataset.ann_file": (
        "annotations/train.json",
        "annotations/train_recist.json",
    ),
    "val_dataloader.dataset.ann_file": ("annotations/val.json", "annotations/val_recist.json"),
    "val_evaluator.ann_file": (
        "data/lesions/annotations/val.json",
        "data/lesions/annotations/val_recist.json",
    ),
}
UNCERTAINTY = {
    "model.type": ("MaskRCNN", "UncertaintyLossWrapper"),
    "model.detector": (ABSENT, "MaskRCNN"),
    "model.tasks": (ABSENT, "mask_rcnn"),
}
ATTENTION = {
    f"{HEAD}.type": ("StandardRoIHead", "GlobalLocalRoIHead"),
    f"{HEAD}.attention.global_sizes": (ABSENT, [1.0]),
}
CASCADE_ATTENTION = {**ATTENTION, f"{HEAD}.type": ("CascadeRoIHead", "GlobalLocalCascadeRoIHead")}


def wrapped(detector: str, tasks: str) -> dict:
    return {
        "model.type": (detector, "UncertaintyLossWrapper"),
        "model.detector": (ABSENT, detector),
        "model.tasks": (ABSENT, tasks),
    }


def reverse(changes: dict) -> dict:
    return {path: (new, old) for path, (old, new) in changes.items()}


SELF_TRAINING = {
    "train_cfg.max_epochs": (20, 21),
    "train_cfg.val_interval": (20, 21),
    "custom_hooks.0.type": (ABSENT, "SelfTrainingHook"),
    "custom_hooks.0.begin": (ABSENT, 20),
    "test_evaluator.neighbour_reach": (ABSENT, 2),
    "test_evaluator.stacking.iou": (ABSENT, 0.5),
    "test_evaluator.stacking.score": (ABSENT, "noisy-or"),
}
CPU, CPU_MASK = "glan_mnv2_fpn_20e_lgg-key", "mask-rcnn_mnv2_fpn_20e_lgg-key"
CPU_AUG = "mask-rcnn_mnv2_fpn_aug-20e_lgg-key"
CPU_ATTENTION = {**ATTENTION, f"{HEAD}.attention.channels": (ABSENT, 128)}


def of_fold(value):
    """A path of the paper's data as lgg-key has it."""
    if not isinstance(value, str):
        return value
    return value.replace("data/lesions/", "data/lgg-key/").replace(
        "annotations/", "annotations/fold0/"
    )


CPU_RECIST = {key: tuple(map(of_fold, change)) for key, change in RECIST.items()}
AUGMENTED = ("train_dataloader.dataset.pipeline", "param_scheduler")
# Parts whose settings are all gone or new; the paths below them are not listed one by one.
MASK_BRANCH = (f"{HEAD}.mask_roi_extractor", f"{HEAD}.mask_head")
RPN, BOX = "rpn_head", "roi_head.bbox_head"
SMOOTH_L1 = {".type": ("L1Loss", "SmoothL1Loss"), ".beta": (ABSENT, 1.0)}
# What concerns the data and the schedule.
SETTINGS = (
    *(f"{split}_dataloader" for split in ("train", "val", "test")),
    *("val_evaluator", "test_evaluator", "train_cfg", "optim_wrapper", "param_scheduler"),
)
CASES = {
    OURS: (MASK, {**UNCERTAINTY, **ATTENTION}, ()),
    "glan_r50_fpn_wo-attention_160e_lesions": (OURS, reverse(ATTENTION), ()),
    PLAIN: (OURS, reverse(UNCERTAINTY), ()),
    "glan_r50_fpn_wo-pseudo-mask_160e_lesions": (
        OURS,
        {**RECIST, "model.tasks": ("mask_rcnn", "faster_rcnn")},
        MASK_BRANCH,
    ),
    "mask-rcnn_r50_fpn_wo-pseudo-mask_160e_lesions": (MASK, RECIST, MASK_BRANCH),
    "glan_r50_fpn_l10-rpn-cls_160e_lesions": (PLAIN, weight(f"{RPN}.loss_cls"), ()),
    "glan_r50_fpn_l10-rpn-bbox_160e_lesions": (PLAIN, weight(f"{RPN}.loss_bbox"), ()),
    "glan_r50_fpn_l10-rpn-cls-rpn-bbox_160e_lesions": (
        PLAIN,
        weight(f"{RPN}.loss_cls") | weight(f"{RPN}.loss_bbox"),
        (),
    ),
    "glan_r50_fpn_l10-mask_160e_lesions": (PLAIN, weight("roi_head.mask_head.loss_mask"), ()),
    "glan_r50_fpn_l10-cls_160e_lesions": (PLAIN, weight(f"{BOX}.loss_cls"), ()),
    "glan_r50_fpn_l10-bbox_160e_lesions": (PLAIN, weight(f"{BOX}.loss_bbox"), ()),
    "glan_r50_fpn_l10-cls-bbox-mask_160e_lesions": (
        PLAIN,
        weight(f"{BOX}.loss_cls")
        | weight(f"{BOX}.loss_bbox")
        | weight("roi_head.mask_head.loss_mask"),
        (),
    ),
    "glan_r50_fpn_g010_160e_lesions": (OURS, sizes(0.10), ()),
    "glan_r50_fpn_g025_160e_lesions": (OURS, sizes(0.25), ()),
    "glan_r50_fpn_g050_160e_lesions": (OURS, sizes(0.50), ()),
    "glan_r50_fpn_g100-g010_160e_lesions": (OURS, sizes(1.0, 0.10), ()),
    "glan_r50_fpn_g100-g025_160e_lesions": (OURS, sizes(1.0, 0.25), ()),
    "glan_r50_fpn_g100-g050_160e_lesions": (OURS, sizes(1.0, 0.50), ()),
    "glan_r50_fpn_amp-160e_lesions": (
        OURS,
        {
            "optim_wrapper.type": ("OptimWrapper", "AmpOptimWrapper"),
            "optim_wrapper.loss_scale": (ABSENT, "dynamic"),
        },
        (),
    ),
    "glan_r50_fpn_syncbn_160e_lesions": (
        OURS,
        {f"{HEAD}.attention.norm_cfg.type": (ABSENT, "SyncBN")},
        (),
    ),
    "glan_r50_fpn_balanced-160e_lesions": (
        OURS,
        {
            "train_dataloader.dataset.filter_cfg.filter_empty_gt": (True, False),
            "train_dataloader.sampler.type": ("DefaultSampler", "LesionBalancedSampler"),
            "train_dataloader.sampler.shuffle": (True, ABSENT),
            "train_dataloader.sampler.lesion_free_fraction": (ABSENT, 0.25),
        },
        (),
    ),
    "glan_r50_fpn_25d_160e_lesions": (
        OURS,
        {
            "train_dataloader.dataset.pipeline.0.context": (ABSENT, 1),
            "val_dataloader.dataset.pipeline.1.context": (ABSENT, 1),
            "test_dataloader.dataset.pipeline.1.context": (ABSENT, 1),
        },
        (),
    ),
    "glan_r50_fpn_200roi_160e_lesions": (
        OURS,
        {
            **{f"model.{RPN}.loss_bbox{key}": value for key, value in SMOOTH_L1.items()},
            **{f"model.{BOX}.loss_bbox{key}": value for key, value in SMOOTH_L1.items()},
            "model.train_cfg.rpn_proposal.max_per_img": (1000, 2000),
            "model.train_cfg.rcnn.sampler.num": (512, 200),
            "model.train_cfg.rcnn.sampler.pos_fraction": (0.25, 0.33),
            "model.test_cfg.rcnn.nms.iou_threshold": (0.5, 0.3),
        },
        (),
    ),
    "glan_cascade-mask-rcnn_r50_fpn_160e_lesions": (
        "cascade-mask-rcnn_r50_fpn_160e_lesions",
        {**wrapped("CascadeRCNN", "cascade_mask_rcnn"), **CASCADE_ATTENTION},
        (),
    ),
    "glan_detectors_cascade-rcnn_r50_160e_lesions": (
        "detectors_cascade-rcnn_r50_160e_lesions",
        {**wrapped("CascadeRCNN", "cascade_rcnn"), **CASCADE_ATTENTION},
        (),
    ),
    "vfnet_r50_fpn_uncertainty_160e_lesions": (
        "vfnet_r50_fpn_160e_lesions",
        wrapped("VFNet", "vfnet"),
        (),
    ),
    "glan_swin-t_fpn_160e_lesions": (
        OURS,
        {"model.neck.in_channels": ([256, 512, 1024, 2048], [96, 192, 384, 768])},
        ("model.backbone", "optim_wrapper", "load_from"),
    ),
    "glan_r50_fpn_160e_tcia-abdomen": (OURS, of_tcia("data/tcia-abdomen/"), ()),
    "glan_r50_fpn_160e_tcia-mediastinum": (OURS, of_tcia("data/tcia-mediastinum/"), ()),
    "glan_r50_fpn_160e_deeplesion": (
        OURS,
        {
            **of_data("data/deeplesion/"),
            "test_dataloader.dataset.ann_file": (
                "annotations/test.json",
                "annotations/test_whole.json",
            ),
            "test_evaluator.ann_file": (
                "data/lesions/annotations/test.json",
                "data/deeplesion/annotations/test_whole.json",
            ),
            "test_evaluator.volumes_file": (
                ABSENT,
                "data/deeplesion/annotations/volumes_test.json",
            ),
        },
        (),
    ),
    "glan_r50_fpn_3windows_160e_deeplesion": (
        "glan_r50_fpn_160e_deeplesion",
        {
            f"{split}_dataloader.dataset.pipeline.{place}.windows": (
                ABSENT,
                [(-175, 275), (-1024, 200), (-1024, 3071)],
            )
            for split, place in (("train", 0), ("val", 1), ("test", 1))
        },
        (),
    ),
    "glan_r50_fpn_160e_volumes": (
        OURS,
        {
            "test_dataloader.dataset.data_root": ("data/lesions/", "data/volumes/"),
            "test_dataloader.dataset.ann_file": (
                "annotations/test.json",
                "annotations/test_truth.json",
            ),
            "test_evaluator.ann_file": (
                "data/lesions/annotations/test.json",
                "data/volumes/annotations/test_truth.json",
            ),
        },
        (),
    ),
    "glan_r18_gn_24e_demo": (
        "glan_r18_demo",
        {
            "model.backbone.norm_cfg.type": ("BN", "GN"),
            "model.backbone.norm_cfg.num_groups": (ABSENT, 16),
            f"{HEAD}.attention.norm_cfg.type": (ABSENT, "GN"),
            f"{HEAD}.attention.norm_cfg.num_groups": (ABSENT, 16),
            "param_scheduler.1.type": (ABSENT, "MultiStepLR"),
            "param_scheduler.1.milestones": (ABSENT, [20]),
            "param_scheduler.1.gamma": (ABSENT, 0.1),
            "train_cfg.max_epochs": (12, 24),
            "train_cfg.val_interval": (12, 24),
        },
        (),
    ),
    CPU_MASK: (
        MASK,
        {},
        ("model", "load_from", *SETTINGS),
    ),
    "faster-rcnn_mnv2_fpn_20e_lgg-key": (CPU_MASK, BOXES_ONLY, ("model",)),
    "cascade-mask-rcnn_mnv2_fpn_20e_lgg-key": (CPU_MASK, {}, ("model",)),
    "mask-rcnn_mnv2_fpn_wo-pseudo-mask_20e_lgg-key": (CPU_MASK, CPU_RECIST, MASK_BRANCH),
    CPU: (CPU_MASK, {**UNCERTAINTY, **CPU_ATTENTION}, ()),
    "glan_mnv2_fpn_wo-attention_20e_lgg-key": (CPU, reverse(CPU_ATTENTION), ()),
    "glan_mnv2_fpn_wo-uncertainty_20e_lgg-key": (CPU, reverse(UNCERTAINTY), ()),
    "glan_mnv2_fpn_wo-pseudo-mask_20e_lgg-key": (
        CPU,
        {**CPU_RECIST, "model.tasks": ("mask_rcnn", "faster_rcnn")},
        MASK_BRANCH,
    ),
    CPU_AUG: (CPU_MASK, {"optim_wrapper.clip_grad.max_norm": (5, 35)}, AUGMENTED),
    "glan_mnv2_fpn_mean-one-wo-attention_20e_lgg-key": (
        "glan_mnv2_fpn_wo-attention_20e_lgg-key",
        {"model.mean_one": (ABSENT, True)},
        (),
    ),
    "glan_mnv2_fpn_recommended_20e_lgg-key": (
        "glan_mnv2_fpn_20e_lgg-key",
        {
            "model.mean_one": (ABSENT, True),
            **SELF_TRAINING,
        },
        (),
    ),
    "mask-rcnn_mnv2_fpn_self-training_20e_lgg-key": (CPU_MASK, SELF_TRAINING, ()),
    "cascade-mask-rcnn_mnv2_fpn_self-training_20e_lgg-key": (
        "cascade-mask-rcnn_mnv2_fpn_20e_lgg-key",
        SELF_TRAINING,
        (),
    ),
    "glan_mnv2_fpn_aug-20e_lgg-key": (
        CPU_AUG,
        {
            **UNCERTAINTY,
            **CPU_ATTENTION,
            "model.mean_one": (ABSENT, True),
            f"{HEAD}.attention.initial_local_weight": (ABSENT, 0.9),
        },
        (),
    ),
    "mask-rcnn_mnv2-s8_fpn_20e_context": (
        CPU_MASK,
        {
            path: change
            for split in ("train", "val", "test")
            for path, change in {
                f"{split}_dataloader.dataset.data_root": ("data/lgg-key/", "data/context/"),
                f"{split}_dataloader.dataset.pipeline.2.scale": ([128, 128], [256, 256]),
            }.items()
        }
        | {
            path: (f"data/lgg-key/annotations/{name}", f"data/context/annotations/{name}")
            for path, name in {
                "val_evaluator.ann_file": "fold0/val.json",
                "test_evaluator.ann_file": "fold0/test_whole.json",
                "test_evaluator.volumes_file": "fold0/volumes_test.json",
            }.items()
        },
        ("model",),
    ),
    "glan_mnv2-s8_fpn_wo-uncertainty_20e_context": (
        "mask-rcnn_mnv2-s8_fpn_20e_context",
        CPU_ATTENTION,
        (),
    ),
    "glan_mnv2-s8_fpn_g050-wo-uncertainty_20e_context": (
        "glan_mnv2-s8_fpn_wo-uncertainty_20e_context",
        sizes(0.5),
        (),
    ),
    "faster-rcnn_r50_fpn_160e_lesions": (MASK, BOXES_ONLY, ("model", "load_from")),
    "cascade-mask-rcnn_r50_fpn_160e_lesions": (MASK, {}, ("model", "load_from")),
    "detectors_cascade-rcnn_r50_160e_lesions": (MASK, BOXES_ONLY, ("model", "load_from")),
    "vfnet_r50_fpn_160e_lesions": (MASK, BOXES_ONLY, ("model", "load_from")),
    "yolov3_d53_160e_lesions": (
        MASK,
        {**BOXES_ONLY, "optim_wrapper.clip_grad.max_norm": (5, 35)},
        ("model", "load_from"),
    ),
}


@pytest.mark.parametrize("stem", sorted(CASES))
def test_differs_as_its_name_says(stem, load_config):
    reference, expected, parts = CASES[stem]
    found = differences(load_config(reference), load_config(stem))
    inside = {p for p in found if any(p == part or p.startswith(f"{part}.") for part in parts)}
    assert {path: change for path, change in found.items() if path not in inside} == expected
    for part in parts:
        assert any(path == part or path.startswith(f"{part}.") for path in inside)


def test_every_config_has_its_case_but_the_two_roots():
    assert STEMS - CASES.keys() == {MASK, "glan_r18_demo"}


def test_bases_are_stated_before_imports():
    """Some releases of MMEngine take a file that begins with an import for a "lazy" config."""
    for path in CONFIGS.rglob("*.py"):
        lines = path.read_text().splitlines()
        imports = [n for n, line in enumerate(lines) if line.startswith(("import ", "from "))]
        bases = [n for n, line in enumerate(lines) if line.startswith("_base_ =")]
        assert not imports or bases[0] < imports[0], path


def test_every_row_of_the_tables_has_its_config():
    rows = {row.stem for table in TABLES for row in table.rows if row.stem}
    assert rows <= STEMS
