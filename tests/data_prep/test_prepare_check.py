"""`prepare --check` and the sheet of the first bookmarks."""

import cv2
import numpy as np
from small_sets import run


def test_check_writes_the_sheet_and_nothing_else(two, capsys):
    out = two / "out"
    assert run(two / "images", two / "marks.csv", out, "--check") == 0
    assert [p.name for p in out.iterdir()] == ["bookmarks.png"]
    assert "Nothing else was done" in capsys.readouterr().out
    picture = cv2.imread(str(out / "bookmarks.png"))
    # Four slices of 40 x 40 pixels side by side, each below its caption.
    assert picture.shape == (384 + 24, 4 * 384, 3)
    # Cyan (in BGR) is the colour of bookmarks.
    cyan = (picture[:, :, 0] > 150) & (picture[:, :, 2] < 100)
    assert all(cyan[24:, i * 384 : (i + 1) * 384].any() for i in range(4))
    # The full run goes into the same folder, and draws the same sheet.
    assert run(two / "images", two / "marks.csv", out, "--split", "1,0,0") == 0
    assert np.array_equal(cv2.imread(str(out / "bookmarks.png")), picture)


def test_check_says_what_is_wrong(two, capsys):
    table = two / "marks.csv"
    table.write_text(table.read_text().replace("a.mha,1,", "a.mha,17,"))
    assert run(two / "images", table, two / "out", "--check") == 1
    assert "slice 17" in capsys.readouterr().err
    assert (two / "out/bookmarks.png").exists()
    table.write_text(table.read_text().split("\n")[0] + "\nlost.mha,1,a,1,1,9,1,5,0,5,3")
    assert run(two / "images", table, two / "none", "--check") == 1
    assert "nothing to show" in capsys.readouterr().err and not (two / "none").exists()


def test_check_takes_no_more_volumes_than_it_needs(tmp_path, two):
    rows = (two / "marks.csv").read_text().splitlines()
    first = rows[1].split(",")
    many = [",".join([first[0], str(z), *first[2:]]) for z in range(6)]
    (two / "marks.csv").write_text("\n".join([rows[0], *many, *rows[3:]]))
    broken = two / "images/b.mha"
    broken.write_bytes(broken.read_bytes()[:200])
    # Six slices are of the first volume; the second is needed for twelve, and is named.
    assert run(two / "images", two / "marks.csv", two / "out", "--check") == 1
