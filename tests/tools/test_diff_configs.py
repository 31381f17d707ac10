from pathlib import Path

from mmglan.commands import diff_configs

ROOT = Path(__file__).resolve().parents[2]
MASK = ROOT / "configs/baselines/mask-rcnn_r50_fpn_160e_lesions.py"
OURS = ROOT / "configs/glan/glan_r50_fpn_160e_lesions.py"


def run(*arguments: str) -> int:
    return diff_configs.main([str(argument) for argument in arguments])


def test_paths_and_values(capsys):
    assert run(MASK, OURS) == 0
    assert capsys.readouterr().out.splitlines() == [
        "model.detector: not set -> 'MaskRCNN'",
        "model.roi_head.attention.global_sizes: not set -> [1.0]",
        "model.roi_head.type: 'StandardRoIHead' -> 'GlobalLocalRoIHead'",
        "model.tasks: not set -> 'mask_rcnn'",
        "model.type: 'MaskRCNN' -> 'UncertaintyLossWrapper'",
    ]


def test_same_config_has_no_difference(capsys):
    assert run(OURS, OURS.stem) == 0
    assert capsys.readouterr().out == "A run sees no difference.\n"


def test_missing_config_is_told(capsys):
    assert run(MASK, "none.py") == 2
    assert capsys.readouterr().err.startswith("error: none.py: Expected a config but found no")
