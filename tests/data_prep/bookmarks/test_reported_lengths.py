"""Lengths that reports give, against their points: agreement, refusal, and swapped spacings."""

import numpy as np
import pytest
from said import says

from data_prep.bookmarks.formats.reported_lengths import length_note, points_as_drawn
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.volumes.geometry import Grid

# 12 px along x and 4 px along y: 6 and 8 mm on pixels of 0.5 x 2 mm.
CROSS = np.array([[10.0, 10], [22, 10], [16, 8], [16, 12]])
OBLONG = Grid((40, 40, 5), (0.5, 2.0, 3.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
# The same, as written with the spacings swapped: x times 0.5 / 2, y times 2 / 0.5.
SWAPPED = CROSS * [0.25, 4.0]


def drawn(points, lengths=(), *, swaps=False, frame="pixel"):
    record = BookmarkRecord(
        "scan", points, frame, file="r.dcm", row=2, lengths_mm=lengths, may_swap_spacing=swaps
    )
    return points_as_drawn(record, OBLONG)


def note_of(points, lengths, *, frame="pixel"):
    assert np.array_equal(drawn(points, lengths, frame=frame), points)
    record = BookmarkRecord("scan", points, frame, file="r.dcm", row=2, lengths_mm=lengths)
    return length_note(record, OBLONG)


@pytest.mark.parametrize("lengths", [(), (6.0, 8.0), (7.2, 6.7)])
def test_lengths_within_a_millimetre_and_a_twentieth_agree(lengths):
    assert note_of(CROSS, lengths) is None


@pytest.mark.parametrize("lengths", [(7.4, 8.0), (6.0, 6.3), (0.6, 0.8)])
def test_other_lengths_are_noted_and_the_points_count(lengths):
    note = note_of(CROSS, lengths)
    assert says(note, "r.dcm, row 2", "as the report says", "0.5 x 2 mm")


def test_lengths_of_points_in_mm():
    points = np.array([[0.0, 0, 0], [3, 4, 0], [0, 4, 0], [4, 1, 0]])
    assert note_of(points, (5.0, 5.0), frame="LPS") is None
    note = note_of(points, (9.0, 5.0), frame="LPS")
    assert "axis of 9.0 mm, as the report says, but got points 5" in note


def test_lengths_tell_which_spacing_a_writer_took():
    assert drawn(SWAPPED, (6.0, 8.0), swaps=True) == pytest.approx(CROSS)
    assert drawn(CROSS, (6.0, 8.0), swaps=True) == pytest.approx(CROSS)
    for lengths in ((6.2, 8.0), (1.5, 32.5)):
        with pytest.raises(DataError, match="as the report says"):
            drawn(CROSS, lengths, swaps=True)
    with pytest.raises(DataError, match=r"^r\.dcm, row 2: Expected square pixels"):
        drawn(SWAPPED, swaps=True)
    assert np.array_equal(drawn(SWAPPED), SWAPPED)  # of others, DICOM's rule holds
