"""The annotation files of a data set, written entry by entry.

One volume's result is in memory at a time, however large the files become.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from data_prep.atomic_files import json_bytes
from data_prep.dataset import coco_entries, collect
from data_prep.dataset.collect import Dataset
from data_prep.dataset.one_volume.volume_result import IgnoreRegion, SliceLesion, VolumeResult
from data_prep.dataset.output_folder import OutputFolder
from data_prep.dataset.splits.split import SPLITS
from data_prep.dataset.splits.split_plan import Plan

Entry = dict[str, Any]
# Names of the files of a split, and when they are written.
ALWAYS, WITH_GT, WHOLE = ("{}", "{}_recist"), ("{}_truth", "volumes_{}"), ("{}_whole",)
PROPAGATED = "train_propagated"
EMPTY_3D: dict[str, list] = {"lesions": [], "volumes": []}


@dataclass(frozen=True)
class VolumeEntries:
    """The numbered entries of one volume.

    Attributes:
        images: COCO image entries of its slices.
        lesions: Annotations with pseudo masks, then regions to ignore (`iscrowd` 1).
        propagated: Annotations of lesions on slices around their bookmarks'.
        gt_lesions: Annotations from its voxel mask, which `volume` and `lesions_3d` are of, too.
        volume: None without a voxel mask.
        lesions_3d: Lesions of the mask in 3D.
    """

    images: list[Entry]
    lesions: list[Entry]
    propagated: list[Entry]
    gt_lesions: list[Entry]
    volume: Entry | None
    lesions_3d: list[Entry]


def number(
    results: Iterable[VolumeResult],
    context: int,
    classes: Sequence[str] = coco_entries.ONE_CLASS,
) -> Iterator[VolumeEntries]:
    """Number the entries of all volumes; one slice has the same image id in every file.

    Args:
        results: Ordered by volume id.
        context: Neighbouring slices to name in each image entry, on either side.
        classes: Names of the categories 1, 2, …; of several a lesion's is its site.
    """
    n_images = n_lesions = n_gt = n_volumes = n_lesions_3d = 0
    for result in results:
        images = _images(result, context, n_images)
        ids = {image["slice_index"]: image["id"] for image in images}
        marked = [*result.lesions, *result.ignored]
        lesions, gt_lesions = _annotations(marked, ids, n_lesions, classes), []
        propagated = _annotations(result.propagated, ids, n_lesions + len(lesions), classes)
        volume, lesions_3d = None, []
        if images and result.has_gt:
            n_volumes += 1
            names = ("volume_id", "patient_id", "shape_zyx", "spacing_mm")
            volume = {"id": n_volumes} | {name: getattr(result, name) for name in names}
            gt_lesions = _annotations(result.gt_lesions, ids, n_gt, classes)
            lesions_3d = [
                {"id": i, "volume_id": result.volume_id} | asdict(lesion)
                for i, lesion in enumerate(result.gt_lesions_3d, start=n_lesions_3d + 1)
            ]
        yield VolumeEntries(images, lesions, propagated, gt_lesions, volume, lesions_3d)
        n_images += len(images)
        n_lesions += len(lesions) + len(propagated)
        n_gt += len(gt_lesions)
        n_lesions_3d += len(lesions_3d)


def _images(result: VolumeResult, context: int, before: int) -> list[Entry]:
    images = []
    for number, entry in enumerate(result.slices, start=before + 1):
        z = entry.slice_index
        depth, height, width = result.shape_zyx
        image = {
            "id": number,
            "file_name": coco_entries.file_name(result.volume_id, z),
            "width": width,
            "height": height,
            "patient_id": result.patient_id,
            "volume_id": result.volume_id,
            "slice_index": z,
            "spacing_mm": result.spacing_mm,
        }
        negatives = [one.bbox for one in result.rejected if one.slice_index == z]
        if negatives:
            image["hard_negatives"] = negatives
        if not result.all_known:
            image["incomplete"] = True
        if context and entry.kind != "extra":
            image["neighbours"] = coco_entries.neighbour_names(result.volume_id, z, context, depth)
        images.append(image)
    return images


def _annotations(
    lesions: Sequence[SliceLesion | IgnoreRegion],
    ids: Mapping[int, int],
    before: int,
    classes: Sequence[str],
) -> list[Entry]:
    pairs = [(lesion, category) for lesion in lesions for category in _categories(lesion, classes)]
    return [
        {"id": number, "image_id": ids[lesion.slice_index], "category_id": category, "iscrowd": 0}
        | lesion.annotation()
        for number, (lesion, category) in enumerate(pairs, start=before + 1)
    ]


def _categories(lesion: SliceLesion | IgnoreRegion, classes: Sequence[str]) -> Sequence[int]:
    """Return the category of a lesion; a region to ignore is one for every class."""
    if len(classes) == 1 or isinstance(lesion, IgnoreRegion):
        return range(1, len(classes) + 1)
    return [1 + classes.index(lesion.site or collect.NO_SITE)]


def write(
    out: OutputFolder,
    results: Callable[[], Iterable[VolumeResult]],
    found: Dataset,
    plan: Plan,
    *,
    context: int = 0,
    propagate: int = 0,
    whole: Collection[str] = (),
    classes: Sequence[str] = coco_entries.ONE_CLASS,
    normalize: str | None = None,
) -> None:
    """Write the files of one plan, and remove those that an earlier state of the input left.

    Args:
        out: Where to write `annotations/`.
        results: Gives the results that `found` was collected from, once more at every call.
        found, plan: What to write into which file.
        context: See `number`.
        propagate: If not 0, write the file of propagated lesions, too.
        whole: Splits of which the file of all slices is written, too.
        classes: See `number`.
        normalize: How the slices were normalised, to be stated in the files.
    """
    kinds = {s: ALWAYS + WITH_GT * found.has_gt + WHOLE * (s in whole) for s in SPLITS}
    names = [kind.format(split) for split in SPLITS for kind in kinds[split]]
    names += [PROPAGATED] * bool(propagate)
    with ExitStack() as stack:
        files = {
            name: ListFile(
                stack.enter_context(out.stream(f"annotations/{plan.folder}{name}.json")),
                EMPTY_3D if name.startswith("volumes_") else coco_entries.empty(classes, normalize),
            )
            for name in names
        }
        for choose in (_lesions, _slices):
            for file in files.values():
                file.next_list()
            for volume in number(results(), context, classes):
                for name, entry in choose(volume, found, plan):
                    if name in files:
                        files[name].add(entry)
        for file in files.values():
            file.end()
    possible = {kind.format(split) for split in SPLITS for kind in ALWAYS + WITH_GT + WHOLE}
    for name in (possible | {PROPAGATED}) - set(names):
        (out.path / "annotations" / plan.folder / f"{name}.json").unlink(missing_ok=True)


def _lesions(volume: VolumeEntries, found: Dataset, plan: Plan) -> Iterator[tuple[str, Entry]]:
    """Yield file name and entry of the lesions of a volume."""
    for kind, entries in (("", volume.lesions), ("_truth", volume.gt_lesions)):
        for entry in entries:
            row = entry["image_id"] - 1
            if plan.codes[row] < 0:
                continue
            split = SPLITS[plan.codes[row]]
            if kind:
                yield f"{split}_truth", entry
            elif found.slices["listed"][row]:
                yield split, entry
                yield f"{split}_propagated", entry
                yield f"{split}_recist", coco_entries.without_mask(entry)
            if kind or not found.has_gt:
                yield f"{split}_whole", entry
    for entry in volume.propagated:
        if (code := plan.codes[entry["image_id"] - 1]) >= 0:
            yield f"{SPLITS[code]}_propagated", entry
    for split, inside in _blocks(volume, plan).items():
        for entry in volume.lesions_3d:
            # Of a divided volume, the lesions whose key slice lies in the block.
            if plan.by_patient or inside[0] <= entry["key_slice"] <= inside[-1]:
                yield f"volumes_{split}", entry


def _slices(volume: VolumeEntries, found: Dataset, plan: Plan) -> Iterator[tuple[str, Entry]]:
    """Yield file name and entry of the slices of a volume, and of itself."""
    for image in volume.images:
        row = image["id"] - 1
        if plan.codes[row] < 0:
            continue
        split = SPLITS[plan.codes[row]]
        known = volume.volume is not None
        if found.slices["listed"][row]:
            yield split, image
            yield f"{split}_recist", image
        if known and (found.slices["listed"][row] or found.slices["gt_lesions"][row]):
            yield f"{split}_truth", image
        if found.slices["listed"][row] or found.slices["propagated"][row]:
            yield f"{split}_propagated", image
        if known or not found.has_gt:
            yield f"{split}_whole", image
    if volume.volume is not None:
        for split in _blocks(volume, plan):
            yield f"volumes_{split}", volume.volume


def _blocks(volume: VolumeEntries, plan: Plan) -> dict[str, list[int]]:
    """Sort the slices of a volume by split, in their order."""
    blocks: dict[str, list[int]] = {}
    for image in volume.images:
        if (code := plan.codes[image["id"] - 1]) >= 0:
            blocks.setdefault(SPLITS[code], []).append(image["slice_index"])
    return blocks


class ListFile:
    """A JSON file whose lists are filled one after another: the same bytes as `json_bytes` gives.

    Args:
        stream: Binary file.
        empty: The content, its lists still empty.
    """

    def __init__(self, stream, empty: Mapping[str, Any]) -> None:
        self._write = stream.write
        self._between = iter(json_bytes(empty).split(b"[]"))
        self._closing = self._comma = b""

    def next_list(self) -> None:
        """Begin with the first list, or the next."""
        self._write(self._closing + next(self._between) + b"[")
        self._closing, self._comma = b"]", b""

    def add(self, entry: Entry) -> None:
        """Append an entry to the list."""
        self._write(self._comma + json_bytes(entry).rstrip())
        self._comma = b","

    def end(self) -> None:
        """Write what comes after the last list."""
        self._write(self._closing + next(self._between))
