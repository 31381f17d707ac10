"""Bars of a table."""

from mmglan.reporting.charts.sensitivity_chart import plot_table
from mmglan.reporting.paper_tables import TABLES
from mmglan.reporting.tables import Cell

FIGURE6 = TABLES[6]


def test_bars_are_the_cells_of_rows_with_a_run():
    cells = {row.name: [Cell()] * 4 for row in FIGURE6.rows}
    assert FIGURE6.label == "figure6" and plot_table(FIGURE6, cells) is None
    cells["Ours"] = [Cell(60.0, 50.0, 65.0, None, 1), Cell(40.0), Cell(62.0), Cell(41.0)]
    cells["YOLOv3"] = [Cell(), Cell(), Cell(44.0), Cell(43.0)]
    masks, boxes = plot_table(FIGURE6, cells).axes
    assert [text.get_text() for text in boxes.get_yticklabels()] == ["YOLOv3", "Ours"]
    widths = [bar.get_width() for bars in boxes.containers[1::2] for bar in bars]
    assert widths == [44.0, 62.0, 43.0, 41.0]
    whisker = masks.containers[0].lines[2][0].get_segments()[1]
    assert whisker[:, 0].tolist() == [50.0, 65.0]
    assert {"–", "60.0", "40.0"} <= {text.get_text() for text in masks.texts}
