"""The lesion annotations that `data_prep.prepare` writes, as a dataset of MMDetection."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping
from typing import ClassVar

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS
from mmdet.visualization.palette import get_palette

from data_prep.paths import PathsBelow
from mmglan.datasets.grey_values import stated_range
from mmglan.datasets.uint8_transforms import check_pipeline
from mmglan.detections.categories import category_ids, read_categories
from mmglan.detections.coco_files import is_ignored, read_content
from mmglan.detections.coco_masks import rle_of

NEEDED = ("file_name", "width", "height")  # of an image, besides its id
PASSED_ON = ("patient_id", "volume_id", "slice_index", "spacing_mm")


class CocoByName(COCO):
    """COCO annotations as the metrics read them, with the categories in the order of the names.

    pycocotools gives them in the file's order, which swaps the classes where that is another one.
    """

    where = "annotations"

    def __init__(self, annotation_file=None):
        super().__init__()
        if annotation_file is not None:
            self.where, self.dataset = read_content(annotation_file)
            check_for_training(self.dataset, self.where)
            self.createIndex()
            self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(self, cat_names=(), sup_names=(), cat_ids=()):
        """Return ids by name, in the order of the names; as the parent for other questions."""
        if not cat_names or sup_names or cat_ids:
            return super().get_cat_ids(list(cat_names), list(sup_names), list(cat_ids))
        names = [cat_names] if isinstance(cat_names, str) else list(cat_names)
        return category_ids(names, read_categories(self.dataset["categories"], ""), self.where)


@DATASETS.register_module()
class LesionDataset(CocoDataset):
    """COCO-style lesions with patient, volume and slice of every image.

    Takes the arguments of `CocoDataset`. Images without lesions stay in unless
    `filter_cfg=dict(filter_empty_gt=True)`. Adds to each sample, where the file has them:
    `patient_id`, `volume_id`, `slice_index`, `spacing_mm` (x, y), and, for `LoadSlice`,
    `value_range`, `normalize` and `neighbours`, the paths of the slices below and above.

    Raises:
        FileNotFoundError: The annotation file is missing.
        ValueError: It lacks one of the classes, an entry without a field that is needed, or an
            annotation that is no lesion of 1 x 1 pixels at least; or the pipeline has a transform
            that cannot take slices.
    """

    METAINFO: ClassVar[dict] = dict(classes=("lesion",), palette=[(220, 20, 60)])
    COCOAPI = CocoByName
    _below: PathsBelow | None = None

    @classmethod
    def _load_metainfo(cls, metainfo=None) -> dict:
        """Return classes and palette as the parent; more classes than colours get more colours."""
        info = super()._load_metainfo(metainfo)
        count, palette = len(info["classes"]), list(info["palette"])
        return info | {"palette": palette + get_palette("random", count)[len(palette) :]}

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        check_pipeline(self.pipeline)

    def load_data_list(self) -> list[dict]:
        """Load the annotations as the parent does, with errors that name the file."""
        if not osp.exists(self.ann_file) and "://" not in self.ann_file:
            raise FileNotFoundError(
                f"Expected the annotations {self.ann_file} but got no such file. Write it with "
                "mmglan prepare, or set data_root."
            )
        return super().load_data_list()

    def filter_data(self) -> list[dict]:
        """Filter as the parent does; nothing left to train on is an error."""
        kept = super().filter_data()
        if not kept and not self.test_mode:
            raise ValueError(
                f"{osp.basename(self.ann_file)}: Expected slices to train on but none of "
                f"{len(self.data_list)} is left after {self.filter_cfg}. Prepare with other "
                "bookmarks, or change filter_cfg."
            )
        return kept

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse an image as the parent does, with patient, volume and neighbouring slices."""
        image = raw_data_info["raw_img_info"]
        folder = self.data_prefix["img"]
        self._check_below(folder, [image["file_name"], *image.get("neighbours", ())])
        steps = getattr(self.pipeline, "transforms", ())
        masks = any(getattr(step, "with_mask", False) for step in steps)
        for annotation in raw_data_info["raw_ann_info"]:
            if annotation.get("segmentation"):
                rle_of(image, annotation)  # a damaged one would end the process
            elif masks:
                raise ValueError(
                    f"{osp.basename(self.ann_file)}: annotation {annotation['id']}: Expected a "
                    "segmentation, as the pipeline loads masks, but got none. Set with_mask=False, "
                    "or write it."
                )
        # The parent drops those to `ignore`: their pixels would be trained on as background.
        raw_data_info["raw_ann_info"] = [
            one | {"ignore": 0, "iscrowd": 1} if is_ignored(one) else one
            for one in raw_data_info["raw_ann_info"]
        ]
        data_info = super().parse_data_info(raw_data_info)
        data_info.update({key: image[key] for key in PASSED_ON if key in image})
        info = self.coco.dataset.get("info")
        data_info["value_range"] = stated_range(info)
        data_info["normalize"] = info.get("normalize") if isinstance(info, Mapping) else None
        if "neighbours" in image:
            data_info["neighbours"] = [osp.join(folder, name) for name in image["neighbours"]]
        return data_info

    def _check_below(self, folder: str, names: list[str]) -> None:
        """Raise DataError, a ValueError, if an image is not below the folder of the images."""
        if "://" in folder:
            return
        if self._below is None:
            self._below = PathsBelow(folder)
        for name in names:
            self._below(name)


def check_for_training(content: dict, where: str) -> None:
    """Raise ValueError unless a checked COCO file has what a data set needs besides."""
    if not isinstance(content.get("categories"), list):
        raise ValueError(f"{where}: Expected the list categories but got none. Write it.")
    for row, image in enumerate(content["images"]):
        lacking = [name for name in NEEDED if image.get(name) is None]
        if lacking:
            raise ValueError(
                f"{where}: images[{row}]: Expected {', '.join(NEEDED)} but got no "
                f"{', '.join(lacking)}. Write them, or prepare the data again."
            )
