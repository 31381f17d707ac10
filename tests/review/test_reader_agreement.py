"""Agreement of two readers, with answers by hand."""

import numpy as np
import pytest

from data_prep.bookmarks.formats.csv_table import MM_COLUMNS
from mmglan.commands.review import main
from mmglan.review.reader_agreement import Cross, agreement, bland_altman, cohens_kappa, pair


def cross(x, long=10.0, short=6.0, volume="v1"):
    ends = [(x - long / 2, 0, 0), (x + long / 2, 0, 0), (x, -short / 2, 0), (x, short / 2, 0)]
    return Cross(volume, np.array(ends, float))


def test_marks_pair_with_the_nearest_of_their_scan():
    first = [cross(0), cross(4), cross(100), cross(0, volume="v2")]
    second = [cross(3), cross(106), cross(0, volume="v3")]
    # 4 is nearer to 3 than 0 is; 106 lies 6 mm from 100, beyond half of 10 mm.
    assert pair(first, second) == [(1, 0)]


def test_counts_agreement_and_sizes():
    first = [cross(0, 10, 6), cross(50, 20, 10), cross(100)]
    second = [cross(1, 11, 6), cross(50, 23, 12), cross(150), cross(200)]
    found = agreement(first, second, [cross(300), cross(400)], [cross(301)])
    assert (len(found.pairs), len(found.only_first), len(found.only_second)) == (2, 1, 2)
    assert found.positive_agreement == pytest.approx(4 / 7)
    # a = 2, b = 1, c = 2, d = 1: observed 3/6, chance (3 * 4 + 3 * 2) / 36 = 1/2.
    assert found.both_rejected == 1 and found.kappa == pytest.approx(0)
    # Differences +1 and +3: mean 2, standard deviation sqrt(2).
    assert found.long_axis.bias == pytest.approx(2)
    assert found.long_axis.high == pytest.approx(2 + 1.96 * 2**0.5)
    assert found.short_axis.bias == pytest.approx(1)


def test_nothing_to_compare():
    found = agreement([], [])
    assert found.positive_agreement is None and found.kappa is None and found.long_axis is None
    assert bland_altman([(1, 2)]) is None and cohens_kappa(5, 0, 0, 0) is None


def table(path, rows):
    lines = [",".join(["volume", "frame", *MM_COLUMNS, "status"])]
    for one, status in rows:
        lines.append(",".join(["v1", "LPS", *map(str, one.points.ravel()), status]))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_command(tmp_path, capsys):
    rejected, unsure = (cross(90), "not-a-lesion"), (cross(70), "ignore")
    a = table(tmp_path / "a.csv", [(cross(0), "lesion"), (cross(50, 20), "lesion"), rejected])
    b = table(tmp_path / "b.csv", [(cross(1, 12), "lesion"), rejected, unsure])
    assert main(["--compare", a, b, "--out", str(tmp_path / "pairs.csv")]) == 0
    said = capsys.readouterr().out
    # a = 1, b = 1, c = 0, d = 1: observed 2/3, chance (2 * 1 + 1 * 2) / 9 = 4/9.
    assert "positive agreement          0.667" in said and "kappa               0.400" in said
    rows = (tmp_path / "pairs.csv").read_text().splitlines()
    assert rows[1] == "v1,both,0.0,0.0,0.0,10.0,12.0,6.0,6.0"
    assert rows[2] == "v1,a,50.0,0.0,0.0,20.0,,6.0,"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare", "a", "b", "--out-dir", "x"], "no --out-dir with --compare"),
        (["--compare", "a", "b", "--series-rule", "all"], "no --series-rule with --compare"),
        (["scan"], "expected --out-dir"),
        (["scan", "--to-sr", "r"], "expected --out with --to-sr"),
    ],
)
def test_options_of_another_use_are_refused(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and said in capsys.readouterr().err


def test_pixels_have_no_size(tmp_path, capsys):
    path = tmp_path / "pixels.csv"
    path.write_text(
        "volume,slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2\n"
        "v1,3,1,5,9,5,5,3,5,7\n"
    )
    assert main(["--compare", str(path), str(path)]) == 2
    assert "two axes in mm" in capsys.readouterr().err
