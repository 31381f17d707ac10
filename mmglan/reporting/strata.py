"""The size strata of a metrics file as one table."""

from __future__ import annotations

from typing import Any

from mmglan.reporting.names import KINDS, number, order, percent, split_key, words


def strata_table(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Rows: strata; columns: name, number of lesions, then each figure in percent.

    Args:
        metrics: content of a metrics file; ``strata`` maps a stratum's name to
            ``{'n_lesions': int, 'metrics': {key: fraction}}``.

    Returns:
        ``{'columns': [...], 'rows': [[...]]}`` of text, or None where there are no strata.
    """
    strata = metrics.get("strata") or {}
    keys = sorted(
        {
            key
            for record in strata.values()
            for key, value in record.get("metrics", {}).items()
            if number(value) is not None
        },
        key=order,
    )
    if not keys:
        return None
    columns = ["Short axis", "Lesions"]
    for key in keys:
        kind, name = split_key(key)
        columns.append(f"{KINDS[kind]}: {words(name, kind)}" if kind else words(name))
    rows = [
        [name, str(record.get("n_lesions", "–"))]
        + [percent(record.get("metrics", {}).get(key), 1) for key in keys]
        for name, record in sorted(strata.items(), key=lambda item: _place(item[0]))
    ]
    return {"columns": columns, "rows": rows}


def _place(name: str) -> tuple[int, str]:
    """Small lesions first: JSON with sorted keys puts '10-20 mm' before '< 10 mm'."""
    return (0 if name.startswith("<") else 2 if name.startswith(">") else 1, name)
