"""What an error advises works for the very cause: the file is read after it."""

import os

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from bad_volumes import written

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.volume import read_labels, read_volume


def advice(action, *arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        action(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_a_mask_on_another_origin(tmp_path, make_image, suffix):
    image = make_image()
    volume = read_volume(written(tmp_path, f"image.{suffix}", image))
    labels = sitk.Cast(image > 100, sitk.sitkUInt8)
    expected = read_labels(written(tmp_path, f"sound.{suffix}", labels), volume).array
    lost = sitk.Image(labels)
    lost.SetOrigin((0.0, 0.0, 0.0))
    path = written(tmp_path, f"lost.{suffix}", lost)
    assert "mask.CopyInformation(image)" in advice(read_labels, path, volume)
    lost.CopyInformation(image)
    again = read_labels(written(tmp_path, f"copied.{suffix}", lost), volume)
    assert np.array_equal(again.array, expected)


def test_a_mask_of_another_size(tmp_path, make_image):
    image = make_image()
    volume = read_volume(written(tmp_path, "image.nii", image))
    labels = sitk.Cast(image > 100, sitk.sitkUInt8)
    small = written(tmp_path, "small.nii", labels[1:])
    assert "Resample the mask to the image, to the nearest voxel" in advice(
        read_labels, small, volume
    )
    whole = sitk.Resample(labels[1:], image, sitk.Transform(), sitk.sitkNearestNeighbor)
    array = read_labels(written(tmp_path, "whole.nii", whole), volume).array
    kept = sitk.GetArrayFromImage(labels)
    kept[..., 0] = 0
    assert array.sum() == kept.sum()


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_several_times_in_one_file(tmp_path, make_image, suffix):
    one = make_image()
    path = written(tmp_path, f"time.{suffix}", sitk.JoinSeries(one, one + 5))
    assert "image[:, :, :, 0]" in advice(read_volume, path)
    first = sitk.ReadImage(str(path))[:, :, :, 0]
    volume = read_volume(written(tmp_path, f"first.{suffix}", first))
    same = read_volume(written(tmp_path, f"one.{suffix}", one))
    assert np.array_equal(volume.array, same.array) and not same.grid.difference_from(volume.grid)


def test_several_times_in_one_series(tmp_path, make_series):
    folder = make_series("images/scan", 3)
    make_series("more", 3, series=pydicom.dcmread(next(folder.iterdir())).SeriesInstanceUID)
    for path in (tmp_path / "more").iterdir():
        path.rename(folder / f"second_{path.name}")
    assert "Put each into a folder of its own" in advice(read_volume, folder)
    (tmp_path / "images/second").mkdir()
    for path in sorted(folder.glob("second_*")):
        path.rename(tmp_path / "images/second" / path.name)
    assert read_volume(folder).array.shape == read_volume(tmp_path / "images/second").array.shape


def test_a_mosaic_names_the_converter(make_series):
    def mosaic(data, k):
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]

    folder = make_series("mosaic", 2, edit=mosaic)
    assert "Convert the series to NIfTI, e.g. with dcm2niix" in advice(read_volume, folder)


def test_forms_apart_and_nan_name_options_that_work(tmp_path, make_image):
    image = sitk.Cast(make_image(), sitk.sitkFloat32)
    image[2, 2, 2] = float("nan")
    path = written(tmp_path, "nan.nrrd", image)
    assert "--nan fill" in advice(read_volume, path)
    assert np.isfinite(read_volume(path, nan="fill").array).all()


@pytest.mark.parametrize("name", ["old.fcsv", "old.acsv"])
def test_points_of_an_older_slicer_are_named(tmp_path, name):
    (tmp_path / name).write_text("# Markups fiducial file version = 4.11\n1,2,3,4\n")
    said = advice(read_bookmarks, tmp_path / name)
    assert said.startswith(f"{name}: Expected line markups (.mrk.json)")
    assert "save them as .mrk.json" in said and os.path.exists(tmp_path / name)
