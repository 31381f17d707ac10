"""Slices named by index, instance number or instance UID; and which end slice 0 is."""

import numpy as np
import pytest
import SimpleITK as sitk
from said import says

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.dicom.instance_numbers import numbering_note
from data_prep.volumes.volume import read_volume

POINTS = "20,20,40,20,30,14,30,26"
COLUMNS = "long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"


@pytest.fixture
def downwards(make_series):
    """A series of 6 slices that is numbered from the head down."""
    return make_series("down", 6, edit=lambda data, k: setattr(data, "InstanceNumber", 6 - k))


def placed(make_table, volume, column, value, **options):
    path = make_table(f"down,{value},{POINTS}", header=f"volume,{column},{COLUMNS}")
    (record,) = read_bookmarks(path, **options).records
    return place(record, volume).slice_index


def test_each_name_of_one_slice(downwards, make_table):
    volume = read_volume(downwards, root=downwards.parent)
    # Image 4 of the viewer is the third slice from the feet.
    assert volume.slice_numbers == (6, 5, 4, 3, 2, 1)
    assert placed(make_table, volume, "instance_number", 4) == 2
    # What a viewer shows does not depend on how the pixels are counted.
    assert placed(make_table, volume, "instance_number", 4, one_based=True) == 2
    assert placed(make_table, volume, "sop_instance_uid", volume.slice_uids[2]) == 2
    assert placed(make_table, volume, "slice", 2) == 2
    (note,) = volume.notes
    assert "against their positions: slice 0 is image 6, slice 5 is image 1" in note


def test_notes_on_numbering():
    assert numbering_note((1, 2, 3), "s") is None and numbering_note((), "s") is None
    assert "but not from 1 on" in numbering_note((7, 8, 9), "s")
    assert "otherwise than by their positions" in numbering_note((1, 3, 2), "s")


def test_numbers_that_are_missing_or_equal_name_no_slice(make_series, make_table):
    folder = make_series("down", 3, edit=lambda data, k: setattr(data, "InstanceNumber", 1))
    volume = read_volume(folder, root=folder.parent)
    assert volume.slice_numbers == () and volume.notes == ()
    with pytest.raises(DataError) as caught:
        placed(make_table, volume, "instance_number", 1)
    assert says(caught.value, "bookmarks.csv, row 2", "with the number 1", "without slice numbers")


@pytest.mark.parametrize(
    ("flip", "end"), [((1, 1, 1), "feet"), ((1, 1, -1), "head"), ((-1, -1, 1), "feet")]
)
def test_an_error_says_which_end_slice_0_is(tmp_path, make_image, make_table, flip, end):
    image = make_image(size=(50, 50, 5), direction=np.diag(flip))
    sitk.WriteImage(image, str(tmp_path / "down.nrrd"))
    volume = read_volume(tmp_path / "down.nrrd")
    assert volume.first_slice_end == end
    with pytest.raises(DataError) as caught:
        placed(make_table, volume, "slice", 5)
    assert says(
        caught.value, "bookmarks.csv, row 2, slice 5", "from 0 to 4", f"0 is the end at the {end}"
    )


def test_end_of_sagittal_slices(make_series):
    folder = make_series("sag", 4, orientation=(0, 1, 0, 0, 0, -1), step=(-2.0, 0, 0))
    volume = read_volume(folder)
    first = volume.to_patient_mm(volume.from_stored(np.zeros((1, 2)), 0))[0, 0]
    last = volume.to_patient_mm(volume.from_stored(np.zeros((1, 2)), 3))[0, 0]
    assert first > last and volume.first_slice_end == "left"


def test_tables_that_name_slices_twice_or_wrongly(make_table):
    both = make_table(f"a,1,2,{POINTS}", header=f"volume,slice,instance_number,{COLUMNS}")
    with pytest.raises(DataError, match="one column that names the slice but got slice and inst"):
        read_bookmarks(both)
    bad = make_table(f"a,1.2/3,{POINTS}", header=f"volume,sop_instance_uid,{COLUMNS}")
    (error,) = read_bookmarks(bad).errors
    assert says(error, "bookmarks.csv, row 2", "digits and dots in sop_instance_uid")
    bad = make_table(f"a,x,{POINTS}", header=f"volume,instance_number,{COLUMNS}")
    (error,) = read_bookmarks(bad).errors
    assert says(error, "bookmarks.csv, row 2", "a number in instance_number")
