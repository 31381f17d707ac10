"""A summary as a table for the terminal: percent with two decimals."""

from __future__ import annotations

import math

KIND_WORDS = {"bbox": "boxes", "segm": "masks", "bbox3d": "3D boxes", "segm3d": "3D masks"}


def percent(value: float | None) -> str:
    """Fraction as percent with two decimals, `-` where it is not defined."""
    return "-" if value is None or not math.isfinite(value) else f"{100 * value:.2f}"


def score_text(score: float | None) -> str:
    """Score threshold with four significant digits: near 0 decimals would all be the same."""
    return "-" if score is None or not math.isfinite(score) else f"{score:.4g}"


def format_summary(record: dict) -> str:
    """Formats what `mmglan.evaluation.evaluate.evaluate_detections` gives.

    Args:
        record: The summary.

    Returns:
        str: Lines; figures in percent, score thresholds as they are.
    """
    lines = [
        f"{record['n_lesions']} lesions, {record['n_images']} images or volumes, "
        f"{record['n_patients']} patients; protocol {record['protocol']}; percent"
    ]
    for kind, counts in record["counts"].items():
        lines += ["", f"{KIND_WORDS.get(kind, kind)} ({counts['n_predictions']} predictions)"]
        rows = []
        for key, value in record["metrics"].items():
            if key.startswith(f"{kind}_"):
                rows.append((key[len(kind) + 1 :], percent(value), _interval(record, key)))
        lines += columns(("figure", "value", "interval"), rows)
        for group, curves in record["froc"].items():
            if group.split("_")[0] == kind:
                for threshold, curve in curves.items():
                    rule = (group.split("_", 1) + ["IoU"])[1]
                    rows = [
                        (f"{p['fp']:g}", percent(p["sensitivity"]), score_text(p["score"]))
                        for p in curve["operating_points"]
                    ]
                    lines += ["", f"{KIND_WORDS.get(kind, kind)}, {rule} {threshold}"]
                    lines += columns(("FP", "sensitivity", "score from"), rows)
        lines += _strata(record, kind)
    return "\n".join(lines)


def _strata(record, kind):
    rows, names = [], []
    for stratum, entry in record["strata"].items():
        if kind in entry["n_lesions_of"]:
            found = {k: v for k, v in entry["metrics"].items() if k.startswith(f"{kind}_")}
            names = [key[len(kind) + 1 :] for key in found]
            count = str(entry["n_lesions_of"][kind])
            rows.append((stratum, count, *(percent(value) for value in found.values())))
    if not rows:
        return []
    title = f"{KIND_WORDS.get(kind, kind)}, by short axis"
    return ["", title, *columns(("short axis", "lesions", *names), rows)]


def _interval(record, key):
    found = record["intervals"].get(key)
    if not found:
        return ""
    return f"{percent(found['low'])} to {percent(found['high'])}"


def columns(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of an aligned table, the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
