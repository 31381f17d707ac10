"""From the results of the volumes to the annotation files of a data set.

Ids are given in the order of volumes and slices, so they do not depend on which worker finished
first, and one slice has the same image id in every file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_prep import coco
from data_prep.errors import DataError
from data_prep.split import SPLITS, check_leakage, slice_blocks, split_folds, split_patients

SIZE_LIMITS_MM = (10.0, 20.0)
NO_LESION = "no lesion"
ONE_PATIENT = (
    "One patient only: split by contiguous blocks of slices. Neighbouring slices may show the same"
    " lesion, so scores on this split say that the pipeline works, not how a detector does on new"
    " patients."
)


@dataclass(frozen=True)
class SplitOptions:
    """How to split.

    Attributes:
        fractions: Shares of train, val and test.
        folds: Number of folds for cross-validation, or None.
        seed: Of the random order.
        given: ``patient_id`` → split where a file says so (then nothing is random), or None.
    """

    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
    folds: int | None = None
    seed: int = 0
    given: Mapping[str, str] | None = None


@dataclass
class Dataset:
    """All entries of a run, before they are divided among files.

    Attributes:
        images: COCO image entries of every slice that was written.
        listed: Ids of those that belong into the data set; the others serve as neighbours or for
            testing on whole volumes.
        lesions: Annotations with pseudo masks.
        truth: Annotations from voxel masks; None without any masks.
        volumes: Entries of the volumes that have voxel masks.
        lesions_3d: Their lesions.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    listed: set[int] = field(default_factory=set)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    truth: list[dict[str, Any]] | None = None
    volumes: list[dict[str, Any]] = field(default_factory=list)
    lesions_3d: list[dict[str, Any]] = field(default_factory=list)
    digests: dict[int, str | None] = field(default_factory=dict)


def collect(results: Iterable[Mapping[str, Any]], context: int) -> Dataset:
    """Number the entries of all volumes.

    Args:
        results: Results of :mod:`data_prep.volume_job`, ordered by volume id.
        context: Neighbouring slices to name in each image entry, on either side.
    """
    found = Dataset()
    for result in results:
        _add(found, result, context)
    return found


def _add(found: Dataset, result: Mapping[str, Any], context: int) -> None:
    if not result["slices"]:
        return
    volume_id, patient_id = result["volume_id"], result["patient_id"]
    depth, height, width = result["shape_zyx"]
    ids = {}
    for entry in result["slices"]:
        z = entry["slice_index"]
        image = {
            "id": len(found.images) + 1,
            "file_name": coco.file_name(volume_id, z),
            "width": width,
            "height": height,
            "patient_id": patient_id,
            "volume_id": volume_id,
            "slice_index": z,
            "spacing_mm": result["spacing_mm"],
        }
        if context and entry["kind"] != "extra":
            image["neighbours"] = coco.neighbour_names(volume_id, z, context, depth)
        ids[z] = image["id"]
        found.images.append(image)
        found.digests[image["id"]] = entry["digest"]
        if entry["kind"] != "extra":
            found.listed.add(image["id"])
    _annotate(found.lesions, result["lesions"], ids)
    truth = result["truth"]
    if truth is not None:
        found.truth = [] if found.truth is None else found.truth
        _annotate(found.truth, truth["slices"], ids)
        found.volumes.append(
            {
                "id": len(found.volumes) + 1,
                "volume_id": volume_id,
                "patient_id": patient_id,
                "shape_zyx": result["shape_zyx"],
                "spacing_mm": result["spacing_mm"],
            }
        )
        for lesion in truth["lesions"]:
            found.lesions_3d.append(
                {"id": len(found.lesions_3d) + 1, "volume_id": volume_id} | lesion
            )


def _annotate(target: list, entries: Sequence[Mapping[str, Any]], ids: Mapping[int, int]) -> None:
    for entry in entries:
        kept = {k: v for k, v in entry.items() if k != "slice_index"}
        numbers = {"id": len(target) + 1, "image_id": ids[entry["slice_index"]]}
        target.append(numbers | {"category_id": 1, "iscrowd": 0} | kept)


@dataclass(frozen=True)
class Plan:
    """One way to divide a data set: ``folder`` below ``annotations/``, and image id → split."""

    folder: str
    split_of: Mapping[int, str]
    by_patient: bool = True


def plan_splits(found: Dataset, options: SplitOptions) -> tuple[list[Plan], list[str]]:
    """Decide for every image which split it belongs to.

    Returns:
        One plan, or one per fold; and remarks for the report.

    Raises:
        DataError: The split that was asked for cannot be made of these patients.
    """
    patients = strata(found)
    if options.given is not None:
        missing = sorted(set(patients) - set(options.given))
        if missing:
            raise DataError(
                f"Expected a split for every patient but got none for {len(missing)} of them, such"
                f" as {missing[0]} (--ids FILE says who that is). List them all, or leave the given"
                " split out."
            )
        return [Plan("", _by_patient(found, options.given))], ["Split as given."]
    if len(patients) == 1:
        if options.folds:
            raise DataError(
                f"Expected at least {options.folds} patients for {options.folds} folds but got 1."
                " Use --split."
            )
        return [Plan("", _in_blocks(found, options.fractions), by_patient=False)], [ONE_PATIENT]
    if options.folds:
        try:
            folds = split_folds(patients, options.folds, options.seed)
        except ValueError as error:
            raise DataError(f"{error} Choose another number of --folds.") from None
        plans = [Plan(f"fold{i}/", _by_patient(found, fold)) for i, fold in enumerate(folds)]
        return plans, [f"Split by patient into {options.folds} folds, seed {options.seed}."]
    # Dealt out apart, so that every split gets lesions, and volumes without if there are some.
    marked = {p: stratum for p, stratum in patients.items() if stratum[1] != NO_LESION}
    chosen = split_patients(marked, options.fractions, options.seed)
    empty = {p: stratum for p, stratum in patients.items() if p not in marked}
    remarks = [f"Split by patient, seed {options.seed}."]
    for name, share in zip(SPLITS, options.fractions, strict=True):
        if share > 0 and name not in chosen.values():
            remarks.append(f"Too few patients with lesions ({len(marked)}): {name} has none.")
    chosen |= split_patients(empty, options.fractions, options.seed)
    return [Plan("", _by_patient(found, chosen))], remarks


def strata(found: Dataset) -> dict[str, tuple[str, str]]:
    """Patient → (most frequent site, size class of the largest short axis) of its lesions."""
    of_image = {image["id"]: image["patient_id"] for image in found.images}
    lesions: dict[str, list] = defaultdict(list)
    for lesion in found.lesions:
        lesions[of_image[lesion["image_id"]]].append(lesion)
    result = {}
    for patient in sorted({i["patient_id"] for i in found.images if i["id"] in found.listed}):
        sites = Counter(lesion.get("site", "") for lesion in lesions[patient])
        site = min(sites, key=lambda s: (-sites[s], s)) if sites else ""
        axes = [lesion["short_axis_mm"] for lesion in lesions[patient]]
        result[patient] = (site, size_class(max(axes)) if axes else NO_LESION)
    return result


def size_class(short_axis_mm: float) -> str:
    """Class of a lesion by its short axis: below 10 mm, 10 to 20 mm, above."""
    low, high = SIZE_LIMITS_MM
    if short_axis_mm < low:
        return f"< {low:g} mm"
    return f"{low:g}-{high:g} mm" if short_axis_mm <= high else f"> {high:g} mm"


def _by_patient(found: Dataset, split_of: Mapping[str, str]) -> dict[int, str]:
    # A patient without a listed slice is in no split, nor are its extra slices.
    return {
        image["id"]: split_of[image["patient_id"]]
        for image in found.images
        if image["patient_id"] in split_of
    }


def _in_blocks(found: Dataset, fractions: Sequence[float]) -> dict[int, str]:
    with_lesion = {lesion["image_id"] for lesion in found.lesions}
    return slice_blocks([(i["id"], i["id"] in with_lesion) for i in found.images], fractions)


def files(found: Dataset, plan: Plan, *, whole_volumes: bool) -> dict[str, Any]:
    """The annotation files of one plan: path below ``annotations/`` → content.

    Raises:
        DataError: If two splits share a patient, a volume or a picture.
    """
    result: dict[str, Any] = {}
    chosen = {
        split: [i for i in found.images if plan.split_of.get(i["id"]) == split] for split in SPLITS
    }
    check_leakage(
        {
            split: [image | {"digest": found.digests[image["id"]]} for image in images]
            for split, images in chosen.items()
        },
        by_patient=plan.by_patient,
    )
    plain = [coco.without_mask(lesion) for lesion in found.lesions]
    with_truth = {volume["volume_id"] for volume in found.volumes}
    for split, every in chosen.items():
        images = [image for image in every if image["id"] in found.listed]
        name = f"{plan.folder}{split}"
        result[f"{name}.json"] = coco.dataset(images, found.lesions)
        result[f"{name}_recist.json"] = coco.dataset(images, plain)
        if found.truth is not None:
            known = [image for image in images if image["volume_id"] in with_truth]
            result[f"{name}_truth.json"] = coco.dataset(known, found.truth)
            result[f"{plan.folder}volumes_{split}.json"] = _volumes(found, every, plan.by_patient)
        if whole_volumes:
            lesions = found.lesions if found.truth is None else found.truth
            known = [i for i in every if found.truth is None or i["volume_id"] in with_truth]
            result[f"{name}_whole.json"] = coco.dataset(known, lesions)
    return result


def _volumes(found: Dataset, images: Sequence[Mapping], by_patient: bool) -> dict[str, Any]:
    """3D truth of one split; of a divided volume, the lesions whose key slice lies in the block."""
    slices = defaultdict(set)
    for image in images:
        slices[image["volume_id"]].add(image["slice_index"])
    lesions = []
    for lesion in found.lesions_3d:
        inside = slices.get(lesion["volume_id"])
        if inside and (by_patient or min(inside) <= lesion["key_slice"] <= max(inside)):
            lesions.append(lesion)
    return {
        "volumes": [volume for volume in found.volumes if volume["volume_id"] in slices],
        "lesions": lesions,
    }
