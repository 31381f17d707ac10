"""Texts of a data set as they may stand in Markdown, CSV tables, HTML charts and on a terminal.

Names, sites and notes come from files that somebody else made. They are shown as text everywhere:
no line feed, no control character, no link, no formula.
"""

from __future__ import annotations

import math
import re
from typing import Any

from data_prep.errors import printable

_MARKS = r"([\\`*<>|#~&]|\](?=[(\[:])|(?<!\w)_|_(?!\w))"
_ADDRESSES = r"(?<=\w)(?=[:@]\S)|(?<=www)(?=\.)"  # `http:`, `mailto:`, `a@b.c` and `www.` are links
_MARKDOWN = re.compile(f"{_MARKS}|{_ADDRESSES}", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_TAG = re.compile(r"<(?!br>)")


def markdown_text(text: object) -> str:
    """Return a text on one line in which Markdown sees no mark, table cell, tag or link.

    >>> print(markdown_text("pelvis|x\\n# [a](http://b.c) <i>"))
    pelvis\\|x \\# [a\\](http\\://b.c) \\<i\\>
    """
    return _MARKDOWN.sub(lambda match: "\\" + (match[1] or ""), printable(str(text)))


def chart_text(text: str) -> str:
    """Return a text in which Plotly sees no tag (it makes links of `<a href>`) but line breaks."""
    lines = text.split("<br>")
    return "<br>".join(_TAG.sub("&lt;", printable(line)) for line in lines)


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: such texts get a leading `'`.

    Numbers stay; `cell_text` is the inverse.

    >>> csv_cell("=1+1"), csv_cell("-1.5"), csv_cell(-1.5), csv_cell("'"), cell_text("'=1+1")
    ("'=1+1", '-1.5', -1.5, "'", '=1+1')
    """
    if not isinstance(value, str) or not value.lstrip("'").startswith(_FORMULA):
        return value
    return value if _is_number(value) else f"'{value}"


def cell_text(cell: str) -> str:
    """Return the text that `csv_cell` was given."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and text == text.strip() and "_" not in text
    except ValueError:
        return False
