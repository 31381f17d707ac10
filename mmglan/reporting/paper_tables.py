"""The paper's printed figures, and the config whose run belongs beside each row.

Wang et al., Medical Image Analysis 2021, doi 10.1016/j.media.2021.102345, Tables 1 to 6. All values
are percent, measured on the authors' private data (Tables 1 to 3) or on public sets (4 to 6). None
of them is a target for other data. A `None` was not printed or is not known to us.
"""

from __future__ import annotations

from dataclasses import dataclass

MASK = ("segm_AP25", "segm_AP50", "segm_SEN25", "segm_SEN50")
BOX = ("bbox_AP25", "bbox_AP50", "bbox_SEN25", "bbox_SEN50")
OURS = "glan_r50_fpn_160e_lesions"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: as in the paper.
        stem: file name (without `.py`) of the config whose runs stand here; None where the
            package has no such model.
        paper: percent, in the order of the table's columns; shorter means None for the rest.
    """

    name: str
    stem: str | None
    paper: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Part:
    """A block of columns.

    Attributes:
        heading: what the block's figures refer to.
        columns: keys of a metrics file without `lesion/`.
        names: heading of each column.
    """

    heading: str
    columns: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
        label: `table1` …, also the name of its files.
        title: one line.
        parts: blocks of columns, in the order of `Row.paper`.
        rows: its rows.
        note: what a reader must know, or ''.
    """

    label: str
    title: str
    parts: tuple[Part, ...]
    rows: tuple[Row, ...]
    note: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """All keys, part by part."""
        return tuple(key for part in self.parts for key in part.columns)

    def paper_value(self, row: Row, key: str) -> float | None:
        """The paper's percent of a row in a column."""
        index = self.columns.index(key)
        return row.paper[index] if index < len(row.paper) else None


_LESION_PARTS = (
    Part("Mask IoU", MASK, ("AP25", "AP50", "SEN25", "SEN50")),
    Part("Box IoU", BOX, ("AP25", "AP50", "SEN25", "SEN50")),
)
_NO_MASK = (None,) * 4
_OURS = Row("Ours", OURS, (54.57, 48.54, 69.36, 60.12, 55.16, 47.82, 72.25, 60.12))
_WEIGHTS_1 = (50.09, 41.11, 59.54, 47.98, 50.49, 40.69, 61.27, 49.71)


def _ablation(name: str) -> str:
    return f"glan_r50_fpn_{name}_160e_lesions"


TABLE_1 = PaperTable(
    "table1",
    "Table 1. Detectors on the slice test set and on volumes",
    (
        *_LESION_PARTS,
        Part("3D volumes, box IoU", ("bbox3d_SEN25", "bbox3d_SEN50"), ("SEN25", "SEN50")),
    ),
    (
        Row("YOLOv3", "yolov3_d53_160e_lesions", (*_NO_MASK, 39.92, 36.14, 44.51, 43.35)),
        Row(
            "Faster R-CNN",
            "faster-rcnn_r50_fpn_160e_lesions",
            (*_NO_MASK, 49.55, 42.02, 53.18, 46.24),
        ),
        Row(
            "Mask R-CNN w/o pseudo mask",
            "mask-rcnn_r50_fpn_wo-pseudo-mask_160e_lesions",
            (*_NO_MASK, 42.77, 37.05, 47.40, 42.77),
        ),
        Row(
            "DetectoRS",
            "detectors_cascade-rcnn_r50_160e_lesions",
            (*_NO_MASK, 55.97, 47.14, 58.38, 50.87),
        ),
        Row(
            "Mask R-CNN",
            "mask-rcnn_r50_fpn_160e_lesions",
            (45.28, 41.97, 52.02, 48.55, 46.49, 40.76, 53.18, 48.55),
        ),
        Row(
            "Cascade Mask R-CNN",
            "cascade-mask-rcnn_r50_fpn_160e_lesions",
            (51.26, 43.54, 41.04, 34.68, 51.79, 44.27, 43.93, 36.99),
        ),
        _OURS,
    ),
    "The paper's cascade row does not agree with pooled COCO AP; ours follows COCO. Of its 3D "
    "volume test set the figures are not known to us.",
)
TABLE_2 = PaperTable(
    "table2",
    "Table 2. Ablation",
    _LESION_PARTS,
    (
        Row(
            "Ours w/o pseudo mask",
            _ablation("wo-pseudo-mask"),
            (*_NO_MASK, 51.33, 43.03, 67.63, 58.38),
        ),
        Row(
            "Ours w/o global-local attention",
            _ablation("wo-attention"),
            (52.33, 47.36, 65.90, 58.96, 52.94, 46.71, 66.47, 59.54),
        ),
        Row("Ours w/o uncertainty loss", _ablation("wo-uncertainty"), _WEIGHTS_1),
        _OURS,
        Row("Ours, global box 0.10", _ablation("g010")),
        Row("Ours, global box 0.25", _ablation("g025")),
        Row("Ours, global box 0.50", _ablation("g050")),
        Row("Ours, whole image and 0.10", _ablation("g100-g010")),
        Row("Ours, whole image and 0.25", _ablation("g100-g025")),
        Row("Ours, whole image and 0.50", _ablation("g100-g050")),
    ),
    "Of the rows with other global boxes the paper's figures are not known to us.",
)
TABLE_3 = PaperTable(
    "table3",
    "Table 3. Fixed loss weights against learned ones",
    _LESION_PARTS,
    (
        Row("All weights 1", _ablation("wo-uncertainty"), _WEIGHTS_1),
        Row(
            "λ RPN cls 10",
            _ablation("l10-rpn-cls"),
            (48.79, 40.28, 61.85, 49.71, 48.79, 39.13, 62.43, 50.29),
        ),
        Row(
            "λ RPN box 10",
            _ablation("l10-rpn-bbox"),
            (50.16, 38.48, 64.16, 47.40, 51.88, 37.36, 68.21, 50.29),
        ),
        Row(
            "λ RPN cls, RPN box 10",
            _ablation("l10-rpn-cls-rpn-bbox"),
            (46.01, 38.30, 57.80, 45.09, 47.21, 37.27, 61.27, 47.40),
        ),
        Row(
            "λ mask 10",
            _ablation("l10-mask"),
            (46.42, 35.83, 60.69, 46.24, 46.47, 36.51, 60.69, 49.71),
        ),
        Row(
            "λ cls 10",
            _ablation("l10-cls"),
            (45.98, 39.86, 50.29, 43.35, 47.24, 38.96, 52.02, 43.93),
        ),
        Row(
            "λ box 10",
            _ablation("l10-bbox"),
            (46.79, 38.45, 59.54, 46.82, 47.55, 38.40, 60.69, 49.13),
        ),
        Row(
            "λ cls, box, mask 10",
            _ablation("l10-cls-bbox-mask"),
            (49.11, 41.36, 62.43, 52.02, 49.59, 39.10, 63.01, 52.60),
        ),
        Row("Learned (ours)", OURS, _OURS.paper),
    ),
)
TABLE_4 = PaperTable(
    "table4",
    "Table 4. TCIA CT Lymph Nodes, AP at IoU 0.10",
    (Part("Mask IoU", ("segm_AP10",), ("AP10",)), Part("Box IoU", ("bbox_AP10",), ("AP10",))),
    (
        Row("nnDetection, abdominal", None, (47.0, 47.0)),
        Row("nnUNetPlus, abdominal", None, (31.1, 31.1)),
        Row("Ours, abdominal", "glan_r50_fpn_160e_tcia-abdomen", (51.9, 51.9)),
        Row("nnDetection, mediastinal", None, (50.0, 50.0)),
        Row("nnUNetPlus, mediastinal", None, (34.2, 34.2)),
        Row("Ours, mediastinal", "glan_r50_fpn_160e_tcia-mediastinum", (52.2, 52.2)),
    ),
    "The paper says mask IoU, but two of its figures equal published figures of box IoU; its "
    "figures stand in both blocks.",
)
TABLE_5 = PaperTable(
    "table5",
    "Table 5. Recall",
    (
        Part(
            "Box IoU",
            ("bbox_recall25_fp5.85", "bbox_recall25_fp9", "bbox_mRecall25"),
            ("Recall at 5.85 FP", "Recall at 9 FP", "mRecall"),
        ),
    ),
    (Row("Ours", OURS, (73.9, 73.9, 90.3)),),
    "The paper's figures contradict each other; ours follow our stated definitions at IoU 0.25.",
)
_FPS = ("0.125", "0.25", "0.5", "1", "2", "4", "8")
TABLE_6 = PaperTable(
    "table6",
    "Table 6. DeepLesion sub-volumes, sensitivity at false positives per sub-volume",
    (
        Part(
            "3D, IoBB 0.3",
            tuple(f"bbox3d_FROC_IoBB30_fp{fp}" for fp in _FPS) + ("bbox3d_FROC_IoBB30_mean",),
            (*_FPS, "mean"),
        ),
    ),
    (
        Row("Yan 2020, best", None, (23.7, 31.6, 40.3, 50.0, 59.6, 69.5, 78.0, 50.4)),
        Row("Ours", "glan_r50_fpn_160e_deeplesion", (0.8, 3.4, 7.2, 13.1, 27.1, 49.3, 67.3, 24.0)),
    ),
)
TABLES = (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6)


def paper_metrics(stem: str) -> dict[str, float]:
    """All of the paper's figures for the runs of a config: key -> percent, `{}` for none."""
    return {
        key: value
        for table in TABLES
        for row in table.rows
        if row.stem == stem
        for key in table.columns
        if (value := table.paper_value(row, key)) is not None
    }
