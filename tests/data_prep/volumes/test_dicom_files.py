"""DICOM series, multi-frame files and DeepLesion folders."""

import cv2
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless, generate_uid

from data_prep.volumes.volume import read_volume


def itk_series(folder):
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return sitk.ReadImage(names)


def test_series_is_sorted_and_placed_as_simpleitk_does(make_series):
    folder = make_series(count=5)
    volume = read_volume(folder, root=folder.parent)
    image = itk_series(folder)
    assert volume.source_id == "series"
    assert volume.array.shape == (5, 64, 64)
    assert volume.spacing_mm == pytest.approx((0.9, 0.7, 2.5))
    assert list(volume.array[:, 0, 0]) == [1000, 1001, 1002, 1003, 1004]
    assert len(set(volume.slice_uids)) == 5
    back = volume.to_source(volume.array)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
    assert np.allclose(back.GetOrigin(), image.GetOrigin())
    assert np.allclose(back.GetDirection(), image.GetDirection())


@pytest.mark.parametrize(
    ("orientation", "step", "shape"),
    [
        ((0, 1, 0, 0, 0, -1), (-3.0, 0, 0), (5, 40, 48)),  # sagittal
        ((1, 0, 0, 0, 0, -1), (0, 3.0, 0), (5, 40, 48)),  # coronal
        ((0.96, 0.28, 0, -0.28, 0.96, 0), (0, 0, 3.0), (5, 40, 48)),  # turned in plane
    ],
    ids=["sagittal", "coronal", "turned"],
)
def test_orientations_agree_with_simpleitk(make_series, orientation, step, shape):
    folder = make_series(count=5, orientation=orientation, step=step, shape=shape[1:])
    volume = read_volume(folder)
    image = itk_series(folder)
    back = volume.to_source(volume.array)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
    assert np.allclose(back.GetOrigin(), image.GetOrigin())
    assert np.allclose(back.GetDirection(), image.GetDirection())
    assert np.allclose(back.GetSpacing(), image.GetSpacing())
    index = np.array([[11.0, 7.0, 2.0]])
    point = image.TransformContinuousIndexToPhysicalPoint(index[0])
    assert np.allclose(
        volume.from_patient_mm(np.array([point])), volume.from_stored(index[:, :2], 2)
    )


def test_multiframe_file(make_multiframe):
    volume = read_volume(make_multiframe())
    assert volume.array.shape == (4, 20, 24)
    assert volume.array.dtype == np.float32
    assert volume.spacing_mm == (0.75, 0.5, 2.0)
    # Frame i: plane + 10 i, times 0.5, plus i.
    assert np.allclose(np.diff(volume.array[:, 3, 3]), 6.0)
    assert volume.to_patient_mm(np.array([[0.0, 0, 0]])) == pytest.approx(np.array([[5, 6, 0]]))


def test_frames_stored_from_the_head_down_keep_their_order(make_multiframe):
    down = read_volume(make_multiframe(heights=(6.0, 4.0, 2.0, 0.0)))
    assert down.grid.direction[8] == -1.0
    # Axial order starts at the feet: frame 4, then 3, 2, 1.
    assert np.allclose(np.diff(down.array[:, 3, 3]), -6.0)
    assert np.allclose(down.from_stored(np.array([[1.0, 2.0]]), 0), [[1, 2, 3]])


def test_frames_in_mixed_order_are_sorted(make_multiframe):
    mixed = read_volume(make_multiframe(heights=(4.0, 0.0, 6.0, 2.0)))
    assert [uid.split("#")[1] for uid in mixed.slice_uids] == ["2", "4", "1", "3"]
    values = mixed.array[:, 3, 3]
    assert np.allclose(values - values[0], [0, 12, -6, 6])


def test_one_of_several_series_by_uid_path_or_rule(make_series, tmp_path):
    first, second = "1.2.3.1", "1.2.3.2"
    make_series("study", 3, series=first)
    folder = tmp_path / "study"
    make_series("extra", 5, series=second)
    for path in (tmp_path / "extra").iterdir():
        path.rename(folder / f"b{path.name}")
    by_uid = read_volume(folder, root=tmp_path, series_uid=first)
    by_path = read_volume(f"{folder}#{second}", root=tmp_path)
    assert (len(by_uid.array), by_uid.source_id) == (3, "study#1.2.3.1")
    assert (len(by_path.array), by_path.source_id) == (5, "study#1.2.3.2")
    longest = read_volume(folder, root=tmp_path, series_rule="most-slices")
    assert len(longest.array) == 5
    (note,) = longest.notes
    assert note.startswith("study: took series 1.2.3.2, the longest of 2")


def test_single_folders_within_each_other(make_series, tmp_path):
    make_series("archive/study/series", 3)
    volume = read_volume(tmp_path / "archive", root=tmp_path)
    assert (len(volume.array), volume.source_id) == (3, "archive")


def test_reports_and_notes_beside_the_images_do_not_matter(make_series):
    folder = make_series(count=3)
    report = pydicom.dcmread(get_testdata_file("test-SR.dcm"))
    report.save_as(folder / "report.dcm")
    (folder / "readme.txt").write_text("exported")
    assert len(read_volume(folder).array) == 3


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEG2000Lossless, JPEGLosslessSV1], ids=["rle", "jpeg2000", "jpeg"]
)
def test_compressed_series(make_series, jpeg_lossless, syntax):
    def shift(data, _):
        data.RescaleSlope, data.RescaleIntercept = 1, -24

    def compress(data, k):
        shift(data, k)
        if syntax == RLELossless:
            data.compress(syntax, generate_instance_uid=False)
            return
        plane = data.pixel_array
        if syntax == JPEGLosslessSV1:
            stream = jpeg_lossless(plane)
        else:
            data.PixelRepresentation = 0
            options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
            stream = cv2.imencode(".jp2", plane.astype(np.uint16), options)[1].tobytes()
        data.PixelData = pydicom.encaps.encapsulate([stream])
        data["PixelData"].VR = "OB"
        data.file_meta.TransferSyntaxUID = syntax

    plain = read_volume(make_series("plain", 3, edit=shift))
    packed = read_volume(make_series("packed", 3, edit=compress))
    assert np.array_equal(packed.array, plain.array)
    assert packed.grid == plain.grid


def test_ct_is_shifted_to_hounsfield_units(make_series):
    def rescale(data, _):
        data.RescaleSlope, data.RescaleIntercept = 1, -1024

    plain = read_volume(make_series("plain", 3))
    shifted = read_volume(make_series("shifted", 3, edit=rescale))
    assert shifted.array.dtype == np.int32
    assert np.array_equal(shifted.array, plain.array.astype(int) - 1024)


def test_slopes_may_differ_between_slices(make_series):
    def rescale(data, k):
        data.RescaleSlope, data.RescaleIntercept = 0.5 + k, 1

    plain = read_volume(make_series("plain", 3)).array
    scaled = read_volume(make_series("scaled", 3, edit=rescale)).array
    assert np.allclose(scaled[2], plain[2] * 2.5 + 1)


def write_deeplesion(root, numbers=(36, 37, 38), spacing="0.8, 0.8, 5"):
    folder = root / "000089_01_01"
    folder.mkdir(parents=True)
    for number in numbers:
        plane = np.full((12, 10), 32768 - 1000 + number, np.uint16)
        plane[3, 4] = 32768 + 50
        cv2.imwrite(str(folder / f"{number:03d}.png"), plane)
    if spacing:
        (root / "DL_info.csv").write_text(
            f'File_name,Spacing_mm_px_\n000089_01_01_037.png,"{spacing}"\n'
        )
    return folder


def test_deeplesion_folder(tmp_path):
    folder = write_deeplesion(tmp_path)
    volume = read_volume(folder, root=tmp_path)
    assert volume.array.dtype == np.int16
    assert volume.spacing_mm == (0.8, 0.8, 5.0)
    assert volume.slice_numbers == (36, 37, 38)
    # Slice numbers run to the feet, axial slices to the head.
    assert list(volume.array[:, 0, 0]) == [-962, -963, -964]
    assert volume.array[0, 3, 4] == 50
    stored = sitk.GetArrayFromImage(volume.to_source(volume.array))
    assert list(stored[:, 0, 0]) == [-964, -963, -962]


def test_deeplesion_spacing_may_be_given(tmp_path):
    folder = write_deeplesion(tmp_path, spacing="")
    assert read_volume(folder, spacing_mm=(0.7, 0.7, 1.0)).spacing_mm == (0.7, 0.7, 1.0)


def test_no_patient_data_in_a_volume(make_series):
    def name(data, _):
        data.PatientName, data.PatientID, data.PatientBirthDate = "DOE^JOHN", "ID4711", "19500203"
        data.SOPInstanceUID = generate_uid()

    volume = read_volume(make_series("named", 3, edit=name))
    image = volume.to_source(volume.array)
    shown = repr(volume) + repr([image.GetMetaData(k) for k in image.GetMetaDataKeys()])
    assert not any(secret in shown for secret in ("DOE", "4711", "1950"))
