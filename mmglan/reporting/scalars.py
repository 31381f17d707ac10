"""Curves from MMEngine's training log (`<work_dir>/<time>/vis_data/scalars.json`)."""

from __future__ import annotations

import json
from pathlib import Path

from data_prep.errors import quoted
from data_prep.limits import check_file, check_json
from mmglan.detections.value_checks import MAX_NUMBER

Series = tuple[list[int], list[float]]


def find_logs(work_dir: Path) -> list[Path]:
    """Log files of a work directory, oldest first (the folders' names are start times)."""
    return sorted(Path(work_dir).glob("*/vis_data/scalars.json")) + sorted(
        Path(work_dir).glob("vis_data/scalars.json")
    )


def read_scalars(paths: list[Path]) -> dict[str, Series]:
    """Read scalars by name from one or more JSON-lines logs of the same run.

    A resumed run writes a new file that overlaps the old one: of two values at one step, the later
    file's counts. Only training lines (those with `iter`) are read; a last line cut off by an
    interruption is left out.

    Args:
        paths: log files in the order of writing.

    Returns:
        name -> (steps, values), steps rising; not-a-number and infinite values are left out.

    Raises:
        ValueError: a line that is not JSON, other than a file's last.
    """
    values: dict[str, dict[int, float]] = {}
    for path in map(Path, paths):
        check_file(path)
        content = path.read_bytes()
        check_json(content, path.name)
        lines = content.decode("utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                if number == len(lines):
                    continue
                raise ValueError(
                    f"{path.name}, line {number}: Expected JSON but got {error}."
                ) from error
            if not isinstance(record, dict) or "iter" not in record:
                continue
            step = record.get("step", record["iter"])
            if not isinstance(step, int) or not 0 <= step < 1 << 53:
                raise ValueError(
                    f"{path.name}, line {number}: Expected a whole number as step but got "
                    f"{quoted(step)}."
                )
            for name, value in record.items():
                if name in ("iter", "epoch", "step") or isinstance(value, bool):
                    continue
                if isinstance(value, int | float) and abs(value) <= MAX_NUMBER:
                    values.setdefault(name, {})[step] = float(value)
    return {
        name: (sorted(points), [points[step] for step in sorted(points)])
        for name, points in sorted(values.items())
    }


def group(scalars: dict[str, Series], prefix: str) -> dict[str, Series]:
    """Return the series under `prefix_` by what follows it (`sigma_mask` -> `mask`).

    Logs of before have `sigma/mask`, which MMDetection's `analyze_logs.py` takes for a metric.
    """
    length = len(prefix) + 1
    return {
        name[length:]: series
        for name, series in scalars.items()
        if name.startswith((f"{prefix}_", f"{prefix}/"))
    }
