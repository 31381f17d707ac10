"""The subcommands of `mmglan`: name, module, one line; imported by none of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subcommand:
    """One subcommand.

    Attributes:
        name: What the user types after `mmglan`.
        module: Module whose `main(arguments)` runs it and returns the exit status.
        summary: One line for `mmglan --help`.
    """

    name: str
    module: str
    summary: str


def _ours(name: str, summary: str, module: str | None = None) -> Subcommand:
    return Subcommand(name, f"mmglan.commands.{module or name.replace('-', '_')}", summary)


GROUPS: dict[str, tuple[Subcommand, ...]] = {
    "Data": (
        Subcommand(
            "prepare",
            "data_prep.prepare",
            "turn volumes and RECIST bookmarks into a COCO data set with pseudo masks",
        ),
        _ours("public-set", "a public data set from its download to a prepared one"),
        Subcommand("verify", "data_prep.verify", "check a prepared data set and describe it"),
        Subcommand(
            "score-masks",
            "data_prep.score_pseudo_masks",
            "score pseudo masks against voxel masks",
        ),
        Subcommand(
            "phantom", "data_prep.phantoms.__main__", "draw synthetic volumes with known lesions"
        ),
    ),
    "Training (needs PyTorch and MMDetection)": (
        _ours("configs", "list the configs that come with the package, or find one by its name"),
        _ours("train", "train a config"),
        _ours("test", "test a checkpoint; write its detections and metrics"),
        _ours("sweep", "train a config with every setting of a grid"),
        _ours("run-table", "train and test all rows of a table of the paper"),
        _ours("evidence", "train and compare detectors on a public MR set, fold by fold"),
        _ours("diff-configs", "show how one config differs from another"),
        Subcommand(
            "convert-checkpoint",
            "mmglan.engine.checkpoint_guard",
            "plain weights of a checkpoint from a source that you trust",
        ),
    ),
    "Inference (needs PyTorch and MMDetection)": (
        _ours("package", "make a model file of a run: weights, operating points, calibration"),
        _ours("fpr", "a small 3D network that looks at stacked detections again"),
        _ours("infer", "find lesions in scans; write DICOM SR and SEG, label maps, tables, pages"),
    ),
    "Review (needs no PyTorch)": (
        _ours("review", "pages of scans to look at findings and correct them, without a network"),
        _ours("mine", "lesions that nobody marked: what several checkpoints find again and again"),
        _ours("followup", "lesions of two studies of a patient: new, lost, grown, shrunk"),
    ),
    "Evaluation and reports (of any detector's result files)": (
        _ours("evaluate", "AP, sensitivity and FROC with confidence intervals, in 2D and 3D"),
        _ours("compare", "differences of two detectors with intervals and p-values"),
        _ours("report", "one HTML page of a run: metrics, curves, detections on their slices"),
        _ours(
            "tables", "the paper's tables with the metrics of your runs beside", "collect_results"
        ),
        _ours("plot-froc", "FROC curves of several runs with confidence bands"),
        _ours("plot-sigmas", "learned uncertainties and loss weights over training"),
        _ours("plot-detections", "a sheet of slices with ground truth and detections"),
    ),
    "Help": (
        _ours("demo", "all steps on phantoms or on your volumes: minutes on two CPU cores"),
        Subcommand("doctor", "mmglan.doctor", "what is installed, what is wrong and how to fix it"),
    ),
}
SUBCOMMANDS = {command.name: command for group in GROUPS.values() for command in group}

EXAMPLE = """\
From bookmarks to a report:
  mmglan prepare --images volumes --bookmarks bookmarks.csv --out-dir data/lesions
  mmglan verify data/lesions
  mmglan train glan_r50_fpn_160e_lesions
  mmglan test glan_r50_fpn_160e_lesions work_dirs/glan_r50_fpn_160e_lesions/epoch_160.pth
  mmglan report work_dirs/glan_r50_fpn_160e_lesions
"""


def help_page() -> str:
    """Format the text of `mmglan --help`."""
    width = max(map(len, SUBCOMMANDS)) + 2
    lines = [
        "Detect abnormal lymph nodes in MR volumes; train detectors from RECIST bookmarks.",
        "",
        "usage: mmglan COMMAND [arguments]",
        "       mmglan COMMAND --help      explains one command",
        "       mmglan --version",
    ]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {command.name:{width}}{command.summary}" for command in commands]
    return "\n".join([*lines, "", EXAMPLE])
