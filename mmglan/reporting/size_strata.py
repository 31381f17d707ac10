"""The size strata of an evaluation as one table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mmglan.evaluation.evaluation_record import Evaluation
from mmglan.evaluation.metric_values import MetricKey
from mmglan.reporting.metric_words import interval, kind_title, order, percent, words

# What the chart shows, at most; the table has everything.
PLOTTED = 3


def strata_table(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return the metrics by stratum.

    Returns:
        `columns` (text), `rows` (text: metric, then percent and interval per stratum),
        `strata` (name, number of lesions) and `bars` (metric, percent or None per stratum);
        None where there are no strata.
    """
    counts = [(one.name, one.n_lesions) for one in evaluation.size.strata]
    values = {
        value.key: value
        for value in evaluation.values
        if value.stratum is not None and value.value is not None
    }
    keys = sorted({replace(key, stratum=None) for key in values}, key=order)
    if not keys:
        return None

    def name(key: MetricKey) -> str:
        return f"{kind_title(key.kind)}: {words(key)}"

    def cell(key: MetricKey, stratum: str) -> str:
        value = values.get(replace(key, stratum=stratum))
        if value is None:
            return percent(None)
        span = interval(value.interval)
        return percent(value.value, 1) + (f" ({span})" if span else "")

    def bar(key: MetricKey, stratum: str) -> float | None:
        value = values.get(replace(key, stratum=stratum))
        return None if value is None else round(100 * value.value, 4)

    names = [stratum for stratum, _ in counts]
    return {
        "columns": ["Short axis:", *(f"{stratum}, n = {count}" for stratum, count in counts)],
        "rows": [[name(key), *(cell(key, stratum) for stratum in names)] for key in keys],
        "strata": counts,
        "bars": [(name(key), [bar(key, stratum) for stratum in names]) for key in _plotted(keys)],
    }


def _plotted(keys: list[MetricKey]) -> list[MetricKey]:
    """Choose AP at IoU 0.25 and the sensitivities of the first kind, else what comes first."""
    first = [key for key in keys if key.kind == keys[0].kind]
    chosen = [
        key
        for key in first
        if key.metric == "SEN" or (key.metric == "AP" and key.criterion.threshold == 0.25)
    ]
    return (chosen or first)[:PLOTTED]
