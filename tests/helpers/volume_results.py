"""Results of small volumes, for the tests of collecting and splitting."""

from data_prep.dataset.one_volume.volume_result import SliceLesion, SliceResult, VolumeResult


def result(number, patient, shorts=(), site=None, slices=2):
    """The result of a small volume with one lesion per short axis, all on slice 0."""
    kinds = ["lesion" if shorts else "empty", *["extra"] * (slices - 1)]
    fields = {"bbox": [0, 0, 2, 2], "area": 4, "segmentation": {}, "recist": [0] * 8}
    fields |= {"mask_source": "ellipse", "site": site}
    return VolumeResult(
        f"v{number:04d}",
        patient,
        n_bookmarks=len(shorts),
        stored_size=[5, 4, slices],
        shape_zyx=[slices, 4, 5],
        spacing_mm=[1.0, 1.0, 3.0],
        slices=[SliceResult(z, kind, f"{number}-{z}") for z, kind in enumerate(kinds)],
        lesions=[SliceLesion(0, long_axis_mm=2 * s, short_axis_mm=s, **fields) for s in shorts],
    )
