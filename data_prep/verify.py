"""Check a prepared data set and describe it: `mmglan verify DATA_DIR`.

Reads only what lies in the folder. Reports counts by split, sizes, spacings and lesion sizes, and
fails on missing, broken or constant slices, numbers that are not finite, boxes outside the image,
empty masks, lesions given twice, and anything that two splits share. Exit status 1 if there
is a problem.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np

from data_prep import overlay, parallel
from data_prep.atomic_files import write_bytes, write_json, write_text
from data_prep.command_line import at_least, reports_errors
from data_prep.dataset import checks, run_report
from data_prep.dataset.splits.split import SPLITS
from data_prep.errors import DataError
from data_prep.paths import check_no_link, check_relative, resolve_under
from data_prep.shown_text import markdown_text
from data_prep.volumes import png_files

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# Slices that one process decodes.
BLOCK = 64


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 if the data set has problems."""
    args = parse_args(argv)
    data_dir = Path(args.data_dir)
    out = Path(args.out_dir) if args.out_dir else None
    if out is not None and out.is_relative_to(data_dir):
        check_no_link(data_dir, out.relative_to(data_dir))
    report, sets = verify(data_dir, jobs=args.jobs, progress=not args.quiet)
    print(as_markdown(report))
    if out is None:
        print("Nothing was written; --out-dir names a folder for report and pictures.")
        return 1 if report["problems"] else 0
    try:
        write_json(out / "dataset_report.json", report)
        write_text(out / "dataset_report.md", as_markdown(report))
        write_bytes(out / "histograms.png", plot_histograms(sets))
        if (sheet := draw_sheet(data_dir, sets)) is not None:
            write_bytes(out / "lesions.png", sheet)
    except OSError as error:
        raise DataError(
            f"Expected to write the report but got: {error.strerror}. Name another --out-dir.",
            path=out,
        ) from None
    print(f"Written to {out}: dataset_report.json, dataset_report.md, histograms.png, lesions.png")
    return 1 if report["problems"] else 0


def verify(
    data_dir: Path, *, jobs: int = 1, progress: bool = True
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Check the data set in `data_dir`.

    Returns:
        The report, and the annotation files by their names without `.json`.

    Raises:
        DataError: If there is nothing to check.
    """
    folder = data_dir / "annotations"
    names = sorted(
        path.relative_to(folder).as_posix().removesuffix(".json")
        for path in folder.rglob("*.json")
        if not path.name.startswith("volumes_")
    )
    plain = [name for name in names if name.rpartition("/")[2] in SPLITS]
    plain.sort(key=lambda name: (name.rpartition("/")[0], SPLITS.index(name.rpartition("/")[2])))
    if not plain:
        raise DataError(
            "Expected annotations/train.json, val.json or test.json (or those of folds) but got"
            " none. Name the folder that data_prep.prepare wrote.",
            path=data_dir.name,
        )
    sets = {
        name: checks.load(resolve_under(data_dir, f"annotations/{name}.json")) for name in names
    }
    files = {image["file_name"] for content in sets.values() for image in content["images"]}
    for content in sets.values():
        files |= {name for image in content["images"] for name in image.get("neighbours", ())}
    ordered = sorted(files)
    blocks = [ordered[first : first + BLOCK] for first in range(0, len(ordered), BLOCK)]
    tasks = [(str(data_dir), block) for block in blocks]
    read = parallel.run_tasks(
        checks.read_pixels, tasks, jobs=jobs, description="blocks of slices", progress=progress
    )
    pixels = {result.file_name: result for block in read for result in block}
    found = checks.CheckResult()
    checks.check_images({name: sets[name] for name in plain}, pixels, found)
    listed = {i["file_name"] for name in plain for i in sets[name]["images"]}
    found.problems += [
        f"images/{p.file_name} {p.error}"
        for p in (pixels[name] for name in sorted(files - listed))
        if p.error
    ]
    checks.check_annotations(sets, found)
    for path in sorted(folder.rglob("volumes_*.json")):
        resolve_under(data_dir, path.relative_to(data_dir))
        checks.check_volumes(path, found)
    for prefix in sorted({name.rpartition("/")[0] for name in plain}):
        group = {n.rpartition("/")[2]: sets[n] for n in plain if n.rpartition("/")[0] == prefix}
        every = {image["patient_id"] for c in group.values() for image in c["images"]}
        if len(every) == 1:
            found.notes.append("one patient: the splits are blocks of slices of the same volume")
        checks.check_leakage(group, pixels, found, by_patient=len(every) > 1)
    report = {
        "splits": {name: checks.describe(sets[name]) for name in plain},
        "problems": found.problems,
        "notes": found.notes,
    }
    return report, {name: sets[name] for name in plain}


def as_markdown(report: Mapping[str, Any]) -> str:
    """Format the report as Markdown."""
    keys = ("patients", "volumes", "slices", "slices_without_lesion", "lesions")
    lines = [f"| split | {' | '.join(k.replace('_', ' ') for k in keys)} | short axis mm |"]
    lines[0] += " long axis mm |"
    lines.append("|---" * (len(keys) + 3) + "|")
    for split, n in report["splits"].items():
        axes = [
            "–" if s is None else f"{s['min']:.1f} … {s['median']:.1f} … {s['max']:.1f}"
            for s in (n["short_axis_mm"], n["long_axis_mm"])
        ]
        cells = [markdown_text(split), *(str(n[k]) for k in keys), *axes]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Axes: minimum … median … maximum.", ""]
    for key, title in (
        ("mask_source", "Masks from"),
        ("sizes", "Image sizes"),
        ("spacings_mm", "Spacings mm"),
        ("site", "Sites"),
    ):
        total: dict[str, int] = {}
        for n in report["splits"].values():
            for value, count in n[key].items():
                total[value] = total.get(value, 0) + count
        shown = sorted(total.items(), key=lambda item: (-item[1], item[0]))
        more = f", and {len(shown) - 12} more" if len(shown) > 12 else ""
        lines.append(
            f"{title}: " + ", ".join(f"{markdown_text(v)} ({c})" for v, c in shown[:12]) + more
        )
        lines.append("")
    for key in ("notes", "problems"):
        lines.append(f"{len(report[key])} {key if len(report[key]) != 1 else key[:-1]}")
        lines += [f"- {markdown_text(line)}" for line in report[key][:50]]
        if len(report[key]) > 50:
            lines.append(f"- and {len(report[key]) - 50} more in dataset_report.json")
    return "\n".join(lines) + "\n"


def plot_histograms(sets: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Draw histograms of lesion sizes, image widths and spacings, by split, as PNG."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    wanted = (
        ("short axis of lesions, mm", "annotations", lambda a: a.get("short_axis_mm")),
        ("long axis of lesions, mm", "annotations", lambda a: a.get("long_axis_mm")),
        ("width of slices, pixels", "images", lambda i: i["width"]),
        ("pixel spacing (x), mm", "images", lambda i: i["spacing_mm"][0]),
    )
    shown = {name: sets[name] for name in sets if "/" not in name} or {
        name: content for name, content in sets.items() if name.startswith("fold0/")
    }
    for axis, (title, key, get) in zip(axes.ravel(), wanted, strict=True):
        values = [[v for e in c[key] if (v := get(e)) is not None] for c in shown.values()]
        every = [v for part in values for v in part]
        if every:
            # A single value would be spread over a made-up range: show it as one bar.
            count = min(30, max(5, int(len(every) ** 0.5))) if max(every) > min(every) else 1
            bins = np.histogram_bin_edges(every, bins=count)
            axis.hist(values, bins=bins, stacked=True, label=list(shown))
        axis.set_title(title, fontsize=10)
        axis.set_ylabel("lesions" if key == "annotations" else "slices")
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return stream.getvalue()


def draw_sheet(data_dir: Path, sets: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    """Draw a PNG sheet of lesions by rising short axis; None of no lesion."""
    entries = []
    for split, content in sets.items():
        images = {image["id"]: image for image in content["images"]}
        for lesion in content["annotations"]:
            if lesion["image_id"] in images and "short_axis_mm" in lesion:
                image = images[lesion["image_id"]]
                entries.append((lesion["short_axis_mm"], image["file_name"], split, lesion, image))
    entries.sort(key=lambda entry: entry[:3])
    count = min(12, len(entries))
    chosen = [entries[round(i * (len(entries) - 1) / max(count - 1, 1))] for i in range(count)]
    pictures, captions = [], []
    for short, name, split, lesion, image in chosen:
        shape = (image["height"], image["width"])
        mask = lesion.get("segmentation")
        if mask is not None and not (checks.can_decode(mask) and tuple(mask["size"]) == shape):
            continue  # reported as a problem
        try:
            file = resolve_under(data_dir, f"images/{check_relative(name)}")
            pixels = png_files.read_png(file, name)
        except DataError:
            continue  # so is this
        if pixels.dtype != np.uint16 or pixels.shape != shape:
            continue  # and this
        picture = run_report.draw(pixels, [lesion])
        pictures.append(cv2.resize(picture, (360, 360 * picture.shape[0] // picture.shape[1])))
        captions.append(f"{split} {name} {short:.1f} mm")
    if not pictures:
        return None
    sheet = overlay.sheet(pictures, captions, columns=4)
    return cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes()


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="mmglan verify", description=__doc__)
    parser.add_argument("data_dir", help="folder that data_prep.prepare wrote")
    parser.add_argument(
        "--out-dir",
        help="write report, histograms and overlays there (default: nothing is written)",
    )
    parser.add_argument("--jobs", type=at_least(1), default=1, help="worker processes (default 1)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
