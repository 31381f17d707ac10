"""Evaluation in volumes: boxes, voxel instances, label maps and stacked masks agree."""

from __future__ import annotations

import json
import struct
import warnings

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_makers import dataset
from pydicom.dataset import Dataset
from scipy import ndimage

from mmglan.detections.stacking import Stacking, stack
from mmglan.evaluation.detection_sets import label_maps
from mmglan.evaluation.detection_sets.detection_set_3d import (
    connected_instances,
    detection_set_of_boxes,
    detection_set_of_instances,
    instances_of_labels,
    instances_of_stacks,
)
from mmglan.evaluation.detection_sets.load_results import load_detection_sets, read_test_set
from mmglan.evaluation.froc import froc
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import PROTOCOLS

SHAPE = (6, 40, 40)
DEEPLESION = PROTOCOLS["deeplesion"]


def label_map(boxes):
    """Label map with the inclusive boxes x1, y1, z1, x2, y2, z2 as 1, 2, …"""
    labels = np.zeros(SHAPE, np.uint16)
    for number, (x1, y1, z1, x2, y2, z2) in enumerate(boxes, 1):
        labels[z1 : z2 + 1, y1 : y2 + 1, x1 : x2 + 1] = number
    return labels


TRUTH = [[2, 2, 0, 9, 9, 3], [20, 20, 2, 29, 27, 4]]
FOUND = [[2, 2, 1, 9, 9, 3], [30, 2, 0, 35, 8, 1], [20, 20, 2, 29, 27, 5]]


def write(path, labels, spacing=(1.0, 1.0, 3.0), flip=False):
    """Writes a label map; flipped, the same voxels are stored from head to feet."""
    image = sitk.GetImageFromArray(labels[::-1] if flip else labels)
    image.SetSpacing(spacing)
    if flip:
        image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
        image.SetOrigin((0, 0, (SHAPE[0] - 1) * spacing[2]))
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(image, str(path))


def test_overlaps_by_hand():
    found = instances_of_labels(label_map(FOUND), label_map(TRUTH), {1: 0.9, 2: 0.8, 3: 0.7})
    assert found.predictions[:, :6].tolist() == [
        [2, 2, 1, 10, 10, 4],
        [30, 2, 0, 36, 9, 2],
        [20, 20, 2, 30, 28, 6],
    ]
    assert found.predictions[:, 6].tolist() == [0.9, 0.8, 0.7]
    assert found.overlap("iou").tolist() == [[0.75, 0], [0, 0], [0, 0.75]]
    assert found.overlap("iobb").tolist() == [[1, 0], [0, 0], [0, 0.75]]
    assert found.overlap("iogt").tolist() == [[0.75, 0], [0, 0], [0, 1]]


def test_boxes_and_voxels_of_boxes_agree():
    """Lesions that are boxes: voxel overlap is box overlap, so all metrics are the same."""
    rng = np.random.default_rng(0)
    predictions, gt, instances = [], [], []
    for _ in range(8):
        boxes = []
        for side in (rng.integers(0, 3), rng.integers(0, 5)):
            low = rng.integers(0, [30, 30, 4], (side, 3))
            # One column of the volume each, so that label maps do not overwrite each other.
            low[:, 0] = np.arange(side) * 8
            boxes.append(np.hstack([low, low + rng.integers(3, [7, 9, 5], (side, 3)) - 1]))
            boxes[-1][:, 5] = np.minimum(boxes[-1][:, 5], SHAPE[0] - 1)
        scores = rng.random(len(boxes[1]))
        gt.append(boxes[0] + [0, 0, 0, 1, 1, 1])
        predictions.append(np.column_stack([boxes[1] + [0, 0, 0, 1, 1, 1], scores]))
        instances.append(
            instances_of_labels(
                label_map(boxes[1]), label_map(boxes[0]), dict(enumerate(scores, 1))
            )
        )
    patient = np.arange(8) // 2
    sizes = np.full(sum(map(len, gt)), 12.0)
    for protocol in PROTOCOLS.values():
        kinds = [criterion.overlap for criterion in protocol.criteria_3d]
        spacing = np.tile([0.7, 0.7, 3.0], (8, 1)) if protocol.in_mm else None
        boxes = detection_set_of_boxes(predictions, gt, patient, sizes, kinds, spacing_mm=spacing)
        voxels = detection_set_of_instances(instances, patient, sizes, kinds, spacing_mm=spacing)
        of_boxes, of_voxels = Metrics(boxes, protocol), Metrics(voxels, protocol)
        assert [key.short_name for key in of_boxes.keys] == [k.short_name for k in of_voxels.keys]
        assert "volumeSEN" in " ".join(of_boxes.names)
        assert np.allclose(of_boxes.estimates, of_voxels.estimates, rtol=0, atol=1e-12)
    inclusive = [rows - [0, 0, 0, 1, 1, 1] for rows in gt]
    with_scores = [rows - [0, 0, 0, 1, 1, 1, 0] for rows in predictions]
    curve = froc(with_scores, inclusive, threshold=0.3, overlap="iobb", dims=3, inclusive=True)
    boxes = Metrics(detection_set_of_boxes(predictions, gt, patient, sizes, ["iobb"]), DEEPLESION)
    place = boxes.names.index("bbox3d_FROC_IoBB30_mean")
    assert boxes.estimates[place] == pytest.approx(curve.mean(), abs=1e-12)


def test_volume_sensitivity_by_hand():
    """Two volumes with lesions, one healthy; one of volume 0's two lesions is found."""
    gt = [np.array(TRUTH) + [0, 0, 0, 1, 1, 1], np.array(TRUTH[:1]), np.zeros((0, 6))]
    found = [np.array([[2, 2, 1, 10, 10, 4, 0.9]]), np.zeros((0, 7)), np.zeros((0, 7))]
    unknown = np.full(3, np.nan)
    detections = detection_set_of_boxes(found, gt, np.arange(3), unknown, ["iobb"])
    metrics = Metrics(detections, DEEPLESION)
    values = dict(zip(metrics.names, metrics.estimates, strict=True))
    assert values["bbox3d_SEN25"] == pytest.approx(1 / 3)
    assert values["bbox3d_volumeSEN25"] == pytest.approx(1 / 2)
    assert values["bbox3d_AP25"] == pytest.approx(34 / 101)
    assert not any("mm" in name for name in metrics.names)


def test_stacked_masks_against_voxels():
    from pycocotools import mask as mask_utils

    found = label_map(FOUND)
    slices, masks = {}, {}
    for index in range(SHAPE[0]):
        rows = []
        for label, score in ((1, 0.9), (2, 0.8), (3, 0.7)):
            mask = found[index] == label
            if mask.any():
                masks[index, len(rows)] = mask_utils.encode(np.asfortranarray(mask, np.uint8))
                x, y, w, h = mask_utils.toBbox(masks[index, len(rows)])
                rows.append([x, y, x + w, y + h, score])
        slices[index] = rows
    of_stacks = instances_of_stacks(stack(slices), masks, label_map(TRUTH))
    of_labels = instances_of_labels(found, label_map(TRUTH), {1: 0.9, 2: 0.8, 3: 0.7})
    for name in ("predictions", "gt", "intersection", "pred_size", "gt_size"):
        assert np.array_equal(getattr(of_stacks, name), getattr(of_labels, name)), name
    with pytest.raises(ValueError, match="slice 4: Expected a mask on the grid"):
        instances_of_stacks(stack(slices), masks, label_map(TRUTH)[:4])


def test_label_map_files(tmp_path):
    """Stored orientation does not matter; a missing map is an error, an empty one is not."""
    write(tmp_path / "gt" / "a.nii.gz", label_map(TRUTH))
    write(tmp_path / "gt" / "b.nii.gz", label_map([]))
    write(tmp_path / "found" / "a.nii.gz", label_map(FOUND), flip=True)
    test_set = read_test_set(gt_masks=tmp_path / "gt")
    assert test_set.volumes.ids == ["a", "b"] and [
        len(boxes) for boxes in test_set.volumes.boxes
    ] == [2, 0]
    assert test_set.volumes.boxes[0].tolist() == [[2, 2, 0, 10, 10, 4], [20, 20, 2, 30, 28, 5]]
    with pytest.raises(FileNotFoundError, match="label map of volume b"):
        load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION)
    write(tmp_path / "found" / "b.nii.gz", label_map([]))
    scores = tmp_path / "scores.csv"
    scores.write_text("volume_id,label,score\na,1,0.9\na,2,0.8\na,3,0.7\n")
    (detections,) = load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION, scores=scores)
    metrics = dict(
        zip(
            Metrics(detections, DEEPLESION).names,
            Metrics(detections, DEEPLESION).estimates,
            strict=True,
        )
    )
    assert detections.kind == "segm3d" and detections.n_images == 2
    # Found at 0 FP, then one FP in two volumes, then the second lesion.
    assert metrics["segm3d_FROC50_fp0.25"] == 0.5 and metrics["segm3d_FROC50_fp0.5"] == 1
    scores.write_text("volume_id,label,score\na,1,0.9\n")
    with pytest.raises(ValueError, match=r"volume a: .* score .* none for \[2, 3\]"):
        load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION, scores=scores)
    scores.write_text("volume_id,label,score\na,1,high\n")
    with pytest.raises(ValueError, match=r"scores.csv, row 2: .*'high'"):
        load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION, scores=scores)
    write(tmp_path / "found" / "a.nii.gz", label_map(FOUND), spacing=(1.0, 1.0, 2.0))
    with pytest.raises(ValueError, match="volume a: Expected the grid"):
        load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION)


@pytest.mark.parametrize(("kept", "times"), [(2**15, 1), (0, 2)])
def test_true_label_maps_are_read_once_unless_they_are_full(tmp_path, monkeypatch, kept, times):
    write(tmp_path / "gt" / "a.nii.gz", label_map(TRUTH))
    write(tmp_path / "found" / "a.nii.gz", label_map(FOUND))
    read, reads = label_maps.read_label_volume, []
    monkeypatch.setattr(label_maps, "MAX_KEPT_VOXELS", kept)
    monkeypatch.setattr(
        label_maps, "read_label_volume", lambda path, **kw: reads.append(path) or read(path, **kw)
    )
    test_set = read_test_set(gt_masks=tmp_path / "gt")
    (found,) = load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION)
    assert [path.parent.name for path in reads].count("gt") == times
    of_arrays = instances_of_labels(label_map(FOUND), label_map(TRUTH))
    assert found.overlaps["iou"].overlap.tolist() == pytest.approx(
        of_arrays.overlap("iou")[of_arrays.intersection > 0].tolist()
    )


def test_label_maps_named_as_the_source_volumes(tmp_path):
    for folder, labels in (("gt", label_map(TRUTH)), ("found", label_map(FOUND))):
        write(tmp_path / folder / "scan 7.nii.gz", labels)
    volumes, ids = tmp_path / "volumes.json", tmp_path / "ids.csv"
    lesions = [{"volume_id": "v1", "box3d": box, "short_axis_mm": 8.0} for box in TRUTH]
    volumes.write_text(json.dumps({"volumes": [{"volume_id": "v1"}], "lesions": lesions}))
    ids.write_text("volume_id,patient_id,volume,patient\nv1,p1,scan 7.nii.gz,x\n")

    def load():
        test_set = read_test_set(volumes=volumes, gt_masks=tmp_path / "gt", ids=ids)
        return load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION)

    (detections,) = load()
    assert detections.n_lesions == 2 and len(detections.scores) == 3
    assert detections.short_axis_mm.tolist() == [8, 8]
    write(tmp_path / "found" / "scan 8.mha", label_map(FOUND))
    with pytest.warns(UserWarning, match=r"found: 1 of 2 label maps .* first: scan 8\.mha"):
        load()
    (tmp_path / "found" / "scan 8.mha").unlink()
    ids.write_text("volume_id,patient_id,volume,patient\nv1,p1,../scan 7.nii.gz,x\n")
    with pytest.raises(ValueError, match=r"scan 7"):
        load()


def test_label_maps_of_any_volume_format(tmp_path):
    """Also `.nhdr`, with its voxels beside it, and endings in capitals."""
    write(tmp_path / "gt" / "a.nii.gz", label_map(TRUTH))
    write(tmp_path / "gt" / "b.nhdr", label_map([]))
    write(tmp_path / "found" / "a.nhdr", label_map(FOUND))
    write(tmp_path / "found" / "b.nii.gz", label_map([]))
    (tmp_path / "found" / "b.nii.gz").rename(tmp_path / "found" / "b.NII.GZ")
    test_set = read_test_set(gt_masks=tmp_path / "gt")
    (found,) = load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION)
    assert (found.n_images, found.n_lesions, len(found.scores)) == (2, 2, 3)


def test_masks_that_are_not_instances():
    both = connected_instances(label_map(FOUND) > 0)
    assert sorted(np.unique(both)) == [0, 1, 2, 3]
    touching = connected_instances(label_map([[0, 0, 0, 3, 3, 0], [4, 4, 1, 6, 6, 1]]))
    assert touching.max() == 1


def test_results_stacked_from_files(coco_set, tmp_path):
    """Ground gt: every lesion of the images as a box one slice thick in its volume."""
    ann, boxes, _ = coco_set(0)
    data = json.loads(ann.read_text())
    image_of = {image["id"]: image for image in data["images"]}
    names = sorted({image["volume_id"] for image in data["images"]})
    volumes = [
        {"id": i, "volume_id": name, "patient_id": name, "spacing_mm": [0.8, 0.8, 3.0]}
        for i, name in enumerate(names)
    ]
    lesions = []
    for annotation in data["annotations"]:
        x, y, w, h = annotation["bbox"]
        image = image_of[annotation["image_id"]]
        z = image["slice_index"]
        box = [x, y, z, x + w - 1, y + h - 1, z]
        lesions.append({"volume_id": image["volume_id"], "box3d": box, "short_axis_mm": 8.0})
    path = tmp_path / "volumes.json"
    path.write_text(json.dumps({"volumes": volumes, "lesions": lesions}))
    test_set = read_test_set(ann, volumes=path)
    detections = load_detection_sets(test_set, [boxes], DEEPLESION, stacking=Stacking(iou=0.999))
    assert [one.kind for one in detections] == ["bbox", "bbox3d"]
    flat, deep = (Metrics(one, DEEPLESION) for one in detections)
    # Nothing is stacked, so volumes hold the images' boxes: the same lesions are found in all.
    total = [
        metrics.curves[criterion].sensitivity[-1]
        for metrics, criterion in (
            (flat, DEEPLESION.criteria_2d[0]),
            (deep, DEEPLESION.criteria_3d[1]),
        )
    ]
    assert total[0] == total[1] > 0.8
    joined = load_detection_sets(test_set, [boxes], DEEPLESION)[1]
    assert len(joined.scores) < len(detections[1].scores)
    rows = [
        {"volume_id": lesion["volume_id"], "box3d": lesion["box3d"], "score": 0.5}
        for lesion in lesions
    ]
    boxes.write_text(json.dumps(rows))
    (exact,) = load_detection_sets(test_set, [boxes], DEEPLESION)
    metrics = Metrics(exact, DEEPLESION)
    assert metrics.estimates[metrics.names.index("bbox3d_AP50")] == pytest.approx(1)
    boxes.write_text(json.dumps(rows + [rows[0] | {"volume_id": "other"}]))
    with pytest.raises(ValueError, match=r"volume of volumes\.json but got other"):
        load_detection_sets(test_set, [boxes], DEEPLESION)


def test_components_are_numbered_as_in_the_whole_map():
    rng = np.random.default_rng(3)
    labels = np.zeros((6, 20, 20), np.uint16)
    assert not connected_instances(labels).any()
    labels[1:4, 5:18, 2:9] = rng.random((3, 13, 7)) < 0.2
    whole = ndimage.label(labels, structure=np.ones((3, 3, 3)))[0]
    assert whole.max() > 3 and np.array_equal(connected_instances(labels), whole)


def test_label_maps_whose_forms_disagree(tmp_path):
    for folder, labels in (("gt", TRUTH), ("found", FOUND)):
        write(tmp_path / folder / "a.nii", label_map(labels))
        content = bytearray((tmp_path / folder / "a.nii").read_bytes())
        struct.pack_into("<f", content, 292, struct.unpack_from("<f", content, 292)[0] + 30)
        (tmp_path / folder / "a.nii").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.nii: Expected forms of one place"):
        read_test_set(gt_masks=tmp_path / "gt")
    test_set = read_test_set(gt_masks=tmp_path / "gt", nifti_form="qform")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which form was taken
        (found,) = load_detection_sets(test_set, [tmp_path / "found"], DEEPLESION)
    assert found.n_lesions == len(TRUTH)
    with pytest.raises(ValueError, match="Expected --gt-masks with --nifti-form"):
        read_test_set(volumes="v.json", nifti_form="qform")


def test_dicom_objects_among_label_maps_are_refused(tmp_path):
    write(tmp_path / "gt/a.nii", label_map(TRUTH))
    data = dataset("1.2.840.10008.5.1.4.1.1.481.3", Dataset())
    data.save_as(tmp_path / "gt/b.dcm", enforce_file_format=True)
    with pytest.raises(ValueError, match=r"1 DICOM segmentations or structure sets, e.g. 'b.dcm'"):
        read_test_set(gt_masks=tmp_path / "gt")
