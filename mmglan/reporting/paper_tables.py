"""The paper's tables: what was printed, and the config whose run belongs beside each row.

Wang et al., Medical Image Analysis 2021, doi 10.1016/j.media.2021.102345, Tables 1 to 6. The
numbers lie in `paper_tables.json`: percent, measured on the authors' private data (Tables 1 to 3)
or on public sets (4 to 6). None of them is a target for other data. A `null` was not printed or is
not known to us.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mmglan.evaluation.metric_values import MetricKey


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: as in the paper.
        stem: file name (without `.py`) of the config whose runs stand here; None where the
            package has no such model.
        paper: percent, in the order of the table's columns; shorter means None for the rest.
    """

    name: str
    stem: str | None = None
    paper: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Part:
    """A block of columns.

    Attributes:
        heading: what the block's metrics refer to.
        columns: metrics.
        names: heading of each column.
    """

    heading: str
    columns: tuple[MetricKey, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
        label: `table1` …, also the name of its files.
        title: one line.
        parts: blocks of columns, in the order of `Row.paper`.
        rows: its rows.
        note: what a reader must know, or ''.
        test_set: name of the test set of its runs, '' for that of their configs.
    """

    label: str
    title: str
    parts: tuple[Part, ...]
    rows: tuple[Row, ...]
    note: str = ""
    test_set: str = ""

    @property
    def columns(self) -> tuple[MetricKey, ...]:
        """All metrics, part by part."""
        return tuple(key for part in self.parts for key in part.columns)

    def paper_value(self, row: Row, key: MetricKey) -> float | None:
        """Return the paper's percent of a row in a column."""
        index = self.columns.index(key)
        return row.paper[index] if index < len(row.paper) else None


def read_tables(path: Path) -> tuple[PaperTable, ...]:
    """Read a file of tables."""
    return msgspec.json.decode(path.read_bytes(), type=tuple[PaperTable, ...])


TABLES = read_tables(Path(__file__).with_name("paper_tables.json"))


def paper_metrics(stem: str) -> dict[MetricKey, float]:
    """Return all of the paper's metrics for the runs of a config, percent; `{}` for none."""
    return {
        key: value
        for table in TABLES
        for row in table.rows
        if row.stem == stem and not table.test_set
        for key in table.columns
        if (value := table.paper_value(row, key)) is not None
    }
