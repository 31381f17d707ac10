"""Train and test the rows of a table of the paper, then write the table.

    mmglan run-table --table 2                      # here, one row after the other
    mmglan run-table --table 2 --gpus 4             # here, each row on four GPUs
    mmglan run-table --table 2 --how print          # only say what would run
    mmglan run-table --table 2 --how slurm --partition gpu --gpus 4    # one job per row

Rows that have their results are skipped and interrupted ones go on, so the same command can be
given again at any time. --small trains small forms of the models, for a machine without a GPU;
their configs are written to the work directory, also with --how print.
The table is written to <work dir>/tables, with the printed numbers beside.

--weights best trains each baseline with the loss weights that `mmglan sweep --baseline` found best,
and searches them first where that was not done: Table 1 as the paper has it. Ours learns its own.

--volumes-root DIR also tests each row on the 3D volume test set that was prepared there (Fig. 6),
on every slice with a true lesion; refused where a slice is one of training or validation, too.

--tta also tests each row on mirrored slices, both views fused. Results: <work dir>/tta/<row>; they
are not in the table.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmengine.config import Config
from tqdm import tqdm

from data_prep.atomic_files import write_json, write_text
from data_prep.command_line import at_least, command_parser, reports_errors
from mmglan.experiments.child_run import run_command
from mmglan.experiments.run_directory import is_whole, latest_checkpoint
from mmglan.experiments.shrink import SMALL, shrink
from mmglan.experiments.volume_set import check_volume_set, volume_settings
from mmglan.experiments.weight_search import baselines, read_best
from mmglan.reporting.paper_tables import TABLES
from mmglan.reporting.run_files import METRICS_NAME, TTA_FOLDER, VOLUMES_FOLDER, WEIGHTS_NAME
from mmglan.shipped_files import find_config, shipped_folder

PACKAGES = Path(__file__).resolve().parents[2]  # where this mmglan is imported from
MMGLAN = [sys.executable, "-m", "mmglan"]


def stems_of(table: int) -> list[str]:
    """Return the stems of a table's configs, each once, in the order of its rows."""
    (found,) = (t for t in TABLES if t.label == f"table{table}")
    return list(dict.fromkeys(row.stem for row in found.rows if row.stem))


def data_of(stem: str) -> str:
    """Name the data that a config trains on: the last part of its name."""
    return stem.rsplit("_", 1)[-1].replace("volumes", "lesions")


def is_finished(run_dir: Path) -> bool:
    """Tell whether a run was trained and tested."""
    return (run_dir / METRICS_NAME).exists()


def checkpoint_of(run_dir: Path) -> Path:
    """Find the checkpoint to test: best on the validation split, else the last.

    Raises:
        FileNotFoundError: the run has no whole checkpoint.
    """
    best = [path for path in run_dir.glob("best_*.pth") if is_whole(path)]
    found = max(best, key=lambda path: path.stat().st_mtime, default=latest_checkpoint(run_dir))
    if found is None:
        raise FileNotFoundError(
            f"Expected a checkpoint in {run_dir} but found none. See {run_dir / 'train.log'}."
        )
    return found


def free_port() -> int:
    """Find a port that no other process listens on: rows may share a machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def train_command(
    config: Path, run_dir: Path, gpus: int, settings: Mapping[str, float] | None = None
) -> list[str]:
    """Command that trains, or goes on training, with settings beside those of the config."""
    rest = ["--work-dir", str(run_dir), "--resume", *["--auto-scale-lr"] * (gpus > 1)]
    if settings:
        rest += ["--cfg-options", *(f"{name}={value}" for name, value in settings.items())]
    if gpus > 1:
        script = ["bash", str(shipped_folder("tools") / "dist_train.sh"), str(config), str(gpus)]
        return [*script, *rest]
    return [*MMGLAN, "train", str(config), *rest]


def run_test_command(config: Path, checkpoint: Path, run_dir: Path, gpus: int) -> list[str]:
    """Command that tests a checkpoint."""
    if gpus > 1:
        launcher = str(shipped_folder("tools") / "dist_test.sh")
        script = ["bash", launcher, str(config), str(checkpoint), str(gpus)]
    else:
        script = [*MMGLAN, "test", str(config), str(checkpoint)]
    return [*script, "--work-dir", str(run_dir)]


def tests_of(stem: str, args: argparse.Namespace) -> list[tuple[Path, list[str]]]:
    """Return the tests of a row: where the results of each go, and its further arguments."""
    tests: list[tuple[Path, list[str]]] = [(args.work_dir / stem, [])]
    if args.tta:
        tests.append((args.work_dir / TTA_FOLDER / stem, ["--tta"]))
    if args.volumes_root:
        options = ["--cfg-options", *volume_settings(args.volumes_root)]
        tests.append((args.work_dir / VOLUMES_FOLDER / stem, options))
    return tests


def is_row_finished(stem: str, args: argparse.Namespace) -> bool:
    """Tell whether a row has all results asked for."""
    return all(is_finished(folder) for folder, _ in tests_of(stem, args))


def config_of(stem: str, args: argparse.Namespace) -> Path:
    """Find the config of a row: the package's, or its small form in the work directory.

    Raises:
        FileNotFoundError: no config has this stem.
    """
    path = find_config(stem)
    return args.work_dir / "configs" / path.name if args.small else path


def weights_of(stem: str, args: argparse.Namespace) -> dict[str, float] | None:
    """Return the loss weights that a row is trained with; None for those of its config."""
    if args.weights != "best" or stem not in {path.stem for path in baselines().values()}:
        return None
    return read_best(args.sweeps / stem)


def sweep_command(stem: str, args: argparse.Namespace) -> list[str]:
    """Command that searches the loss weights of a baseline."""
    (name,) = (name for name, path in baselines().items() if path.stem == stem)
    command = [*MMGLAN, "sweep", "--baseline", name, "--work-dir", str(args.sweeps / stem)]
    command += ["--data-root", args.data_root] if args.data_root else []
    command += ["--small"] if args.small else []
    return [*command, *(["--epochs", str(args.epochs)] if args.epochs else [])]


def needs_sweep(stem: str, args: argparse.Namespace) -> bool:
    """Tell whether the loss weights of a row are still to be searched."""
    tuned = args.weights == "best" and stem in {path.stem for path in baselines().values()}
    return tuned and weights_of(stem, args) is None


def data_root_of(stem: str) -> str:
    """Return the data set that a config names."""
    return Config.fromfile(find_config(stem), import_custom_modules=False).data_root


def write_small_config(stem: str, args: argparse.Namespace) -> Path:
    """Write the small form of a config into the work directory."""
    size = replace(SMALL, epochs=args.epochs or SMALL.epochs)
    cfg = Config.fromfile(find_config(stem), import_custom_modules=False)
    path = config_of(stem, args)
    # Whole at any moment: other workers may be reading it.
    write_text(path, shrink(cfg, args.data_root or cfg.data_root, size).pretty_text)
    return path


def run_row(stem: str, args: argparse.Namespace) -> None:
    """Train and test one row.

    Raises:
        RuntimeError: a command failed.
    """
    run_dir, config = args.work_dir / stem, config_of(stem, args)
    if args.small:
        write_small_config(stem, args)
    # The shell scripts start `python`: this one, also where its environment is not activated.
    first = {"PYTHONPATH": str(PACKAGES), "PATH": str(Path(sys.executable).parent)}
    environment = dict(os.environ)
    for name, folder in first.items():
        environment[name] = os.pathsep.join(filter(None, [folder, os.environ.get(name)]))
    if args.gpus > 1:
        environment.setdefault("PORT", str(free_port()))
    if args.data_root:
        environment["MMGLAN_DATA"] = args.data_root.rstrip("/") + "/"
    if needs_sweep(stem, args):
        run_command(sweep_command(stem, args), args.sweeps / stem / "sweep.log", environment)
    weights = weights_of(stem, args)
    if weights:
        print(f"{stem}: loss weights {weights} (best of {args.sweeps / stem})")
        write_json(run_dir / WEIGHTS_NAME, weights)
    if not is_finished(run_dir):
        command = train_command(config, run_dir, args.gpus, weights)
        run_command(command, run_dir / "train.log", environment)
    checkpoint = checkpoint_of(run_dir)
    for folder, options in tests_of(stem, args):
        if not is_finished(folder):
            command = [*run_test_command(config, checkpoint, folder, args.gpus), *options]
            run_command(command, folder / "test.log", environment)


def slurm_command(stem: str, args: argparse.Namespace) -> list[str]:
    """Command that hands one row to Slurm as a job: this tool, for that row, in its allocation.

    A row that is handed over again waits for the job of the same name before it (`singleton`), and
    ends at once if that one has finished the row.
    """
    work_dir = args.work_dir.resolve()
    row = [*MMGLAN, "run-table", "--rows", stem, "--gpus", str(args.gpus)]
    row += ["--work-dir", str(work_dir), "--no-collect"]
    root = args.data_root or os.environ.get("MMGLAN_DATA")
    row += ["--data-root", str(Path(root).resolve())] if root else []
    row += ["--volumes-root", str(Path(args.volumes_root).resolve())] if args.volumes_root else []
    row += ["--tta"] if args.tta else []
    row += ["--weights", args.weights]
    row += ["--sweeps", str(args.sweeps.resolve())] if args.weights == "best" else []
    row += ["--small"] if args.small else []
    row += ["--epochs", str(args.epochs)] if args.epochs else []
    job = ["sbatch", "--job-name", f"{work_dir.name}-{stem}", "--dependency", "singleton"]
    job += ["--gres", f"gpu:{args.gpus}", "--ntasks", "1"]
    job += ["--cpus-per-task", str(4 * args.gpus)]
    job += ["--partition", args.partition] if args.partition else []
    return [*job, "--wrap", shlex.join(row)]


def quoted(words: Sequence[str]) -> str:
    """Quote a command line for a shell, in which `*` stays a pattern."""

    def parts(word: str) -> str:
        return "*".join(part and shlex.quote(part) for part in word.split("*"))

    return " ".join(map(parts, words))


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", type=int, choices=range(1, 7))
    what.add_argument("--rows", nargs="+", metavar="STEM", help="names of configs, without .py")
    parser.add_argument("--how", choices=("run", "print", "slurm"), default="run")
    parser.add_argument("--work-dir", type=Path, help="default: work_dirs/paper, or …/paper-small")
    parser.add_argument("--data-root", help="prepared data set (default: MMGLAN_DATA or config)")
    parser.add_argument("--volumes-root", help="also test on this 3D volume test set (Fig. 6)")
    parser.add_argument("--tta", action="store_true", help="also test on mirrored slices")
    parser.add_argument("--gpus", type=at_least(1), default=1, help="processes per row")
    parser.add_argument("--partition", help="of Slurm")
    parser.add_argument("--small", action="store_true", help="small models, trained from scratch")
    parser.add_argument("--epochs", type=at_least(1), help="length of training with --small")
    parser.add_argument(
        "--weights",
        choices=("config", "best"),
        default="config",
        help="loss weights of baselines: of their configs (default), or the best of a sweep",
    )
    parser.add_argument("--sweeps", type=Path, help="folder of the sweeps (default: that of sweep)")
    parser.add_argument("--no-collect", action="store_true", help="do not write the table")
    args = parser.parse_args(arguments)
    if args.epochs and not args.small:
        parser.error("--epochs shortens small forms only: expected --small beside it")
    if args.partition and args.how != "slurm":
        parser.error("--partition is Slurm's: expected --how slurm beside it")
    if args.sweeps and args.weights != "best":
        parser.error("--sweeps goes with --weights best")
    if args.how == "slurm" and shutil.which("sbatch") is None:
        parser.error("expected Slurm's sbatch on this machine but found none: see --how")
    # Apart, or small rows would pass for finished full ones.
    default = ("paper-small" if args.small else "paper") + "-best" * (args.weights == "best")
    args.work_dir = args.work_dir or Path("work_dirs", default)
    args.sweeps = args.sweeps or Path("work_dirs", "sweeps-small" if args.small else "sweeps")
    return args


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print or submit; 0 if all of it succeeded."""
    args = parse_args(arguments)
    stems = list(dict.fromkeys(args.rows or stems_of(args.table)))
    for stem in stems:
        find_config(stem)
    root, kinds = args.data_root or os.environ.get("MMGLAN_DATA"), sorted(set(map(data_of, stems)))
    if root and len(kinds) > 1:
        raise ValueError(
            f"Expected rows of one data set with {root} but got rows of {', '.join(kinds)}. Name "
            "those of one with --rows, or leave --data-root and MMGLAN_DATA unset."
        )
    open_rows = [stem for stem in stems if not is_row_finished(stem, args)]
    if args.volumes_root and open_rows:
        check_volume_set(Path(args.volumes_root), [Path(root or data_root_of(stems[0]))])
    for stem in stems:
        if stem not in open_rows:
            print(f"{stem}: has its results")
    failed = []
    progress = tqdm(open_rows, unit="row", disable=args.how != "run", file=sys.stderr)
    for stem in progress:
        progress.set_description(stem)
        try:
            if args.how == "run":
                run_row(stem, args)
            elif args.how == "slurm":
                subprocess.run(slurm_command(stem, args), check=True)
            else:
                run_dir, config = args.work_dir / stem, config_of(stem, args)
                if args.small:
                    write_small_config(stem, args)
                root = args.data_root and args.data_root.rstrip("/") + "/"
                data = f"MMGLAN_DATA={shlex.quote(root)} " if root else ""
                if needs_sweep(stem, args):
                    print(data + quoted(sweep_command(stem, args)))
                weights = weights_of(stem, args)
                if not is_finished(run_dir):
                    print(data + quoted(train_command(config, run_dir, args.gpus, weights)))
                best = run_dir / "best_lesion_bbox_AP25_epoch_*.pth"
                for folder, options in tests_of(stem, args):
                    command = run_test_command(config, best, folder, args.gpus)
                    if not is_finished(folder):
                        print(data + quoted([*command, *options]))
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            failed.append(stem)
            print(f"error: {stem}: {error}", file=sys.stderr)
    if args.how == "run" and not args.no_collect and len(failed) < len(stems):
        collect = [*MMGLAN, "tables"]
        # Also the rows of earlier calls, so that another table does not empty the first.
        places = (args.work_dir, args.work_dir / VOLUMES_FOLDER)
        folders = [str(f.parent) for p in places for f in sorted(p.glob(f"*/{METRICS_NAME}"))]
        out = ["--out-dir", str(args.work_dir / "tables")]
        status = subprocess.run([*collect, *folders, *out], cwd=Path.cwd()).returncode
        failed += ["the table"] if status else []
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
