"""The size strata of a metrics file as one table."""

from __future__ import annotations

from typing import Any

from mmglan.reporting.metric_words import KINDS, interval, number, order, percent, split_key, words

# What the plot shows, at most; the table has everything.
PLOTTED = ("bbox_AP25", "bbox_SEN25", "bbox_SEN50")


def _place(name: str) -> tuple[int, str]:
    """Small lesions first: JSON with sorted keys puts '10-20 mm' before '< 10 mm'."""
    return (0 if name.startswith("<") else 2 if name.startswith(">") else 1, name)


def strata_table(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Metrics by stratum.

    Args:
        metrics: content of a metrics file; `strata` maps a stratum's name to
            `{'n_lesions': int, 'metrics': {key: fraction}, 'intervals': {key: {...}}}`.

    Returns:
        `columns` (text), `rows` (text: figure, then percent and interval per stratum),
        `strata` (name, number of lesions) and `bars` (figure, percent or None per stratum);
        None where there are no strata.
    """
    strata = sorted((metrics.get("strata") or {}).items(), key=lambda item: _place(item[0]))
    keys = sorted(
        {
            key
            for _, record in strata
            for key, value in record.get("metrics", {}).items()
            if number(value) is not None
        },
        key=order,
    )
    if not keys:
        return None

    def name(key: str) -> str:
        kind, rest = split_key(key)
        return f"{KINDS[kind]}: {words(rest, kind)}" if kind else words(rest)

    def cell(record: dict[str, Any], key: str) -> str:
        span = interval(record.get("intervals", {}).get(key))
        return percent(record["metrics"].get(key), 1) + (f" ({span})" if span else "")

    def bar(record: dict[str, Any], key: str) -> float | None:
        value = number(record["metrics"].get(key))
        return None if value is None else round(100 * value, 4)

    counts = [(label, record.get("n_lesions")) for label, record in strata]
    plotted = [key for key in keys if key in PLOTTED] or keys[: len(PLOTTED)]
    return {
        "columns": ["Short axis:", *(f"{label}, n = {count}" for label, count in counts)],
        "rows": [[name(key), *(cell(record, key) for _, record in strata)] for key in keys],
        "strata": counts,
        "bars": [(name(key), [bar(record, key) for _, record in strata]) for key in plotted],
    }
