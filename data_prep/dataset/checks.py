"""Checks of a finished data set, from its files alone: what `data_prep.verify` reports."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from data_prep.dataset.annotation_schema import fault
from data_prep.dataset.mask_codes import checked_code
from data_prep.dataset.splits.split import SPLITS, leaks
from data_prep.errors import DataError, quoted
from data_prep.json_files import load_json
from data_prep.paths import check_relative, resolve_under
from data_prep.volumes import png_files

TOLERANCE_PX = 1e-3


@dataclass
class CheckResult:
    """Result of the checks: `problems` make them fail, `notes` do not."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Pixels:
    """What one PNG slice holds; `error` says why it cannot be used."""

    file_name: str
    shape: tuple[int, ...] = ()
    constant: bool = False
    digest: str = ""
    error: str = ""


def load(
    path: Path, lists: Sequence[str] = ("images", "annotations", "categories")
) -> dict[str, Any]:
    """Read an annotation file.

    Args:
        path: The file.
        lists: The lists of entries that it must hold, see `annotation_schema`.

    Raises:
        DataError: If it is not JSON, holds NaN or infinity, or an entry is not as it must be.
    """

    def refuse(constant: str) -> None:
        raise DataError(
            f"Expected finite numbers but got {constant}. Run data_prep.prepare again.",
            path=path.name,
        )

    try:
        content = load_json(path, parse_constant=refuse)
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(
            f"Expected JSON but got: {error}. Run data_prep.prepare again.", path=path.name
        ) from None
    if (text := fault(content, lists)) is not None:
        raise DataError(
            f"{text}. Name the folder that data_prep.prepare wrote, or run it again.",
            path=path.name,
        )
    return content


def read_pixels(task: tuple[str, Sequence[str]]) -> list[Pixels]:
    """Read some slices, `(data set, file names)`, and look at their pixels."""
    folder, names = task
    found: dict[str, Pixels] = {}
    files: dict[str, Path] = {}
    for name in names:
        try:
            files[name] = resolve_under(folder, f"images/{check_relative(name)}")
        except DataError:
            text = "is no file below the folder images of the data set"
            found[name] = Pixels(name, error=text)
    images = png_files.read_each([(path, name) for name, path in files.items()])
    for name, image in zip(files, images, strict=True):
        found[name] = _pixels(name, image)
    return [found[name] for name in names]


def _pixels(name: str, image: np.ndarray | DataError) -> Pixels:
    if isinstance(image, DataError):
        return Pixels(name, error=f"is refused: {image.message}")
    if image.dtype != np.uint16 or image.ndim != 2:
        return Pixels(name, error=f"is {image.dtype} {image.shape}, not one 16-bit channel")
    constant = bool(image.min() == image.max())
    digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:32]
    return Pixels(name, image.shape, constant, digest)


def check_images(
    data: Mapping[str, Mapping[str, Any]], pixels: Mapping[str, Pixels], found: CheckResult
) -> None:
    """Find missing, unreadable, wrongly sized, constant and repeated slices; check spacings."""
    same = defaultdict(set)
    for split, content in data.items():
        for image in content["images"]:
            name = image["file_name"]
            seen = pixels[name]
            if seen.error:
                found.problems.append(f"{split}: images/{name} {seen.error}")
                continue
            if seen.shape != (image["height"], image["width"]):
                found.problems.append(
                    f"{split}: images/{name} has {seen.shape[1]} × {seen.shape[0]} pixels, the"
                    f" annotations say {image['width']} × {image['height']}"
                )
            if seen.constant:
                found.problems.append(f"{split}: images/{name} has one value only")
            else:
                same[seen.digest].add(name)
            spacing = image.get("spacing_mm", ())
            if len(spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing):
                found.problems.append(f"{split}: images/{name} has the spacing {spacing}")
    for names in sorted(sorted(group) for group in same.values() if len(group) > 1):
        found.notes.append(f"identical slices: {', '.join(names[:4])}")


def check_annotations(data: Mapping[str, Mapping[str, Any]], found: CheckResult) -> None:
    """Check ids, boxes and masks: outside, empty, of another size, duplicates."""
    for split, content in data.items():
        images = {image["id"]: image for image in content["images"]}
        problems = [
            f"{what} ids used twice"
            for what in ("images", "annotations")
            if len({entry["id"] for entry in content[what]}) < len(content[what])
        ]
        seen: Counter = Counter()
        for lesion in content["annotations"]:
            image = images.get(lesion["image_id"])
            if image is None:
                problems.append(f"annotation {lesion['id']} is of no image of the file")
                continue
            where = f"annotation {lesion['id']} on {image['file_name']}"
            problems += [f"{where}: {text}" for text in _lesion_problems(lesion, image)]
            key = (lesion["image_id"], *_outline_key(lesion))
            seen[key] += 1
            if seen[key] == 2:
                problems.append(f"{where}: the same lesion twice")
        found.problems += [f"{split}: {text}" for text in problems]


def _outline_key(lesion: Mapping[str, Any]) -> Iterable:
    """Return the end points in any order, or the box."""
    if "recist" not in lesion:
        return lesion["bbox"]
    return sorted(map(tuple, np.reshape(lesion["recist"], (-1, 2)).tolist()))


def _lesion_problems(lesion: Mapping[str, Any], image: Mapping[str, Any]) -> Iterable[str]:
    x, y, w, h = lesion["bbox"]
    inside = (
        min(x, y) >= -TOLERANCE_PX
        and x + w <= image["width"] + TOLERANCE_PX
        and y + h <= image["height"] + TOLERANCE_PX
    )
    if not inside:
        yield f"box {lesion['bbox']} is outside {image['width']} × {image['height']}"
    if not (w > 0 and h > 0):
        yield f"box {lesion['bbox']} has no area"
    for x, y in np.reshape(lesion.get("recist", ()), (-1, 2)):
        if not (-0.5 <= x <= image["width"] - 0.5 and -0.5 <= y <= image["height"] - 0.5):
            yield f"end point ({x:g}, {y:g}) is outside"
    segmentation = lesion.get("segmentation")
    if segmentation is None:
        return
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        yield "mask that is no run-length code"
    elif segmentation["size"] != [image["height"], image["width"]]:
        yield f"mask of {quoted(segmentation['size'])} on another size of image"
    elif int(rle.area(segmentation)) == 0:
        yield "empty mask"
    elif not can_decode(segmentation):
        yield "damaged mask"
    elif not np.allclose(rle.toBbox(segmentation), lesion["bbox"], atol=TOLERANCE_PX):
        yield f"box {lesion['bbox']} is not the mask's"


def can_decode(segmentation: Any) -> bool:
    """Say whether a segmentation is a run-length code in text form that can be decoded."""
    try:
        return checked_code(segmentation, *segmentation["size"]) is segmentation
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def check_volumes(path: Path, found: CheckResult) -> None:
    """Check boxes of lesions in 3D: inside their volume, corners in order."""
    content = load(path, ("volumes", "lesions"))
    volumes = {volume["volume_id"]: volume for volume in content["volumes"]}
    for lesion in content["lesions"]:
        low, high = np.reshape(lesion["box3d"], (2, 3))
        volume = volumes.get(lesion["volume_id"])
        size = volume["shape_zyx"][::-1] if volume else (0, 0, 0)
        if (low < 0).any() or (low > high).any() or (high >= size).any():
            found.problems.append(
                f"{path.stem}: lesion {lesion['id']} has the box {lesion['box3d']} in"
                f" {lesion['volume_id']} of {' × '.join(map(str, size))} voxels"
            )


def check_leakage(
    data: Mapping[str, Mapping[str, Any]],
    pixels: Mapping[str, Pixels],
    found: CheckResult,
    *,
    by_patient: bool,
) -> None:
    """Find patients, volumes or identical slices in two splits."""
    splits = {}
    for split in SPLITS:
        if split in data:
            splits[split] = [
                dict(image) | {"digest": _digest(pixels[image["file_name"]])}
                for image in data[split]["images"]
            ]
    lines = leaks(splits, by_patient=by_patient)
    found.problems += [f"leakage: {line}" for line in lines]


def _digest(pixels: Pixels) -> str:
    return "" if pixels.constant else pixels.digest


def describe(content: Mapping[str, Any]) -> dict[str, Any]:
    """Count and summarise one split."""
    images = content["images"]
    lesions = [a for a in content["annotations"] if not a.get("iscrowd")]
    marked = {lesion["image_id"] for lesion in lesions}
    return {
        "patients": len({image["patient_id"] for image in images}),
        "volumes": len({image["volume_id"] for image in images}),
        "slices": len(images),
        "slices_without_lesion": sum(image["id"] not in marked for image in images),
        "lesions": len(lesions),
        "ignore_regions": len(content["annotations"]) - len(lesions),
        "short_axis_mm": spread([a["short_axis_mm"] for a in lesions if "short_axis_mm" in a]),
        "long_axis_mm": spread([a["long_axis_mm"] for a in lesions if "long_axis_mm" in a]),
        "mask_source": dict(sorted(Counter(a.get("mask_source", "-") for a in lesions).items())),
        "site": dict(sorted(Counter(a.get("site", "-") for a in lesions).items())),
        "sizes": counted(f"{image['width']} × {image['height']}" for image in images),
        "spacings_mm": counted(
            " × ".join(f"{s:.3g}" for s in image["spacing_mm"]) for image in images
        ),
    }


def counted(values: Iterable[str]) -> dict[str, int]:
    """Count values, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return minimum, quartiles and maximum; None of nothing."""
    if not values:
        return None
    names = ("min", "q25", "median", "q75", "max")
    return dict(
        zip(names, np.round(np.percentile(values, (0, 25, 50, 75, 100)), 3).tolist(), strict=True)
    )
