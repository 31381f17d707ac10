"""What a run leaves for people: overlays, a report, errors, notes, and a table of pseudonyms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_prep import overlay
from data_prep.atomic_files import json_bytes, write_csv
from data_prep.bookmarks.recist import Bookmark
from data_prep.dataset import coco_entries
from data_prep.dataset.collect import Dataset
from data_prep.dataset.one_volume.volume_result import VolumeResult
from data_prep.dataset.output_folder import OutputFolder
from data_prep.dataset.splits.split import SPLITS
from data_prep.dataset.splits.split_plan import Plan
from data_prep.errors import DataError

OVERLAY_WIDTH = 512


def build(
    found: Dataset,
    plans: Sequence[Plan],
    notes: Sequence[str],
    errors: Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Make the content of `report.json`: counts, where the masks come from, notes, options."""
    report = {
        "options": dict(options),
        "notes": list(notes),
        "errors": len(errors),
        "volumes": {"asked": len(found.stored_sizes), "used": len(found.volumes)},
        "bookmarks": {"readable": found.bookmarks, "used": found.sources.total()},
        "ignore_regions": found.ignored,
        "mask_source": dict(sorted(found.sources.items())),
        "splits": {},
    }
    for plan in plans:
        for code, split in enumerate(SPLITS):
            report["splits"][f"{plan.folder}{split}"] = _count(found, plan.codes == code)
    return report


def _count(found: Dataset, inside: np.ndarray) -> dict[str, int]:
    slices = found.slices[inside & found.slices["listed"]]
    volumes = np.unique(slices["volume"]).tolist()
    counts = {
        "patients": len({found.volumes[number][1] for number in volumes}),
        "volumes": len(volumes),
        "slices": len(slices),
        "slices_without_lesion": int((slices["lesions"] == 0).sum()),
        "lesions": int(slices["lesions"].sum()),
    }
    if found.has_gt:
        counts["gt_lesions"] = int(slices["gt_lesions"].sum())
    return counts


def write(
    out: OutputFolder, report: Mapping[str, Any], file_notes: Sequence[str], errors: Sequence[str]
) -> None:
    """Write `report.json`, and line by line `errors.txt` and `notes.txt`.

    The notes of the last name files and series; those of the report do not.
    """
    out.write("notes.txt", "".join(f"{line}\n" for line in file_notes).encode())
    out.write("errors.txt", "".join(f"{line}\n" for line in errors).encode())
    out.write("report.json", json_bytes(report))


def write_ids(
    path: Path, out_dir: Path, header: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Write the table of pseudonyms and names, apart from the output, which holds no names.

    Only its owner may read it.

    Raises:
        DataError: `path` lies in `out_dir`, or cannot be written.
    """
    if path.resolve().is_relative_to(out_dir.resolve()):
        raise DataError(
            "Expected --ids outside of --out-dir, which may be given away, but got a file in it."
            " Name a file elsewhere.",
            path=path,
        )
    try:
        write_csv(path, header, rows, permissions=0o600)
    except OSError as error:
        raise DataError(
            f"Expected to write the table of --ids but got: {error.strerror}. Name another file.",
            path=path,
        ) from None


def write_overlays(
    out: OutputFolder, found: Dataset, load: Callable[[str], VolumeResult], number: int
) -> None:
    """Draw pseudo masks (yellow) and bookmarks (cyan) on slices spread over the data set.

    `load` gives the result of a volume by its id.
    """
    rows = np.flatnonzero(found.slices["lesions"])
    if len(rows) > number:
        rows = rows[[int((i + 0.5) * len(rows) / number) for i in range(number)]]
    chosen = {}
    for volume, z in found.slices[["volume", "index"]][rows].tolist():
        volume_id = found.volumes[volume][0]
        chosen[f"{volume_id}_{z:04d}.png"] = (volume_id, z)
    for path in (out.path / "overlays").glob("*.png"):
        if path.name not in chosen:
            path.unlink()
    for name, (volume_id, z) in chosen.items():
        lesions = [
            lesion.annotation() for lesion in load(volume_id).lesions if lesion.slice_index == z
        ]
        image_file = out.path / "images" / coco_entries.file_name(volume_id, z)
        overlay_image = draw(cv2.imread(str(image_file), cv2.IMREAD_UNCHANGED), lesions)
        _, png = cv2.imencode(".png", overlay_image[:, :, ::-1])
        out.write(f"overlays/{name}", png.tobytes())


def draw(pixels: np.ndarray, lesions: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Draw one 16-bit slice with its lesions as RGB, enlarged by a whole factor if it is small."""
    points = [np.reshape(lesion["recist"], (4, 2)) for lesion in lesions if "recist" in lesion]
    return overlay.draw(
        (pixels // 257).astype(np.uint8),
        gt_masks=[coco_entries.decode(a["segmentation"]) for a in lesions if "segmentation" in a],
        bookmarks=[Bookmark(p[:2], p[2:]) for p in points],
        scale=max(1, OVERLAY_WIDTH // pixels.shape[1]),
    )


def show(
    report: Mapping[str, Any], file_notes: Sequence[str], errors: Sequence[str], out_dir: Path
) -> None:
    """Print the counts, and what went wrong."""
    for note in [*report["notes"], *file_notes]:
        print(note)
    print(f"{'split':14}patients  volumes  slices  without lesion  lesions")
    for name, n in report["splits"].items():
        print(
            f"{name:14}{n['patients']:8}{n['volumes']:9}{n['slices']:8}"
            f"{n['slices_without_lesion']:16}{n['lesions']:9}"
        )
    sources = ", ".join(f"{source} {n}" for source, n in report["mask_source"].items())
    print(f"pseudo masks: {sources or 'none'}")
    for line in errors[:20]:
        print(f"error: {line}", file=sys.stderr)
    if errors:
        more = f"; all are in {out_dir / 'errors.txt'}" if len(errors) > 20 else ""
        print(f"{len(errors)} error{'s' * (len(errors) > 1)}{more}.", file=sys.stderr)
    print(f"Written to {out_dir}: images/, annotations/, overlays/, report.json")
