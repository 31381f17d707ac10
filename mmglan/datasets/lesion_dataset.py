"""The lesion annotations that `data_prep.prepare` writes, as a dataset of MMDetection."""

from __future__ import annotations

import os.path as osp
from typing import ClassVar

import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from mmglan.random_numbers import numbers_of

PASSED_ON = ("patient_id", "volume_id", "slice_index", "spacing_mm")


@DATASETS.register_module()
class LesionDataset(CocoDataset):
    """COCO-style lesions with patient, volume and slice of every image.

    Takes the arguments of `CocoDataset`. Images without lesions stay in unless
    `filter_cfg=dict(filter_empty_gt=True)`. Adds to each sample, where the file has them:
    `patient_id`, `volume_id`, `slice_index`, `spacing_mm` (x, y), and `neighbours`, the paths of
    the slices below and above (for `LoadSlice`).

    Raises:
        FileNotFoundError: The annotation file is missing.
        ValueError: It holds none of the classes.
    """

    METAINFO: ClassVar[dict] = dict(classes=("lesion",), palette=[(220, 20, 60)])
    _entropy: torch.Tensor | None = None

    def seed_images(self, *entropy: int) -> None:
        """Let the pipeline draw from numbers that depend on `entropy` and the image only.

        `EpochSeedHook` calls this at the start of each epoch. Workers that are running
        already (`persistent_workers=True`) follow.

        Args:
            *entropy: whole numbers ≥ 0, e.g. seed and epoch; as many at each call.
        """
        if self._entropy is None:
            self._entropy = torch.zeros(len(entropy), dtype=torch.int64).share_memory_()
        self._entropy.copy_(torch.tensor(entropy))

    def __getitem__(self, idx: int) -> dict:
        """Return an item as the parent does, with the random numbers of `seed_images`."""
        if self._entropy is None:
            return super().__getitem__(idx)
        with numbers_of(*self._entropy.tolist(), idx % len(self)):
            return super().__getitem__(idx)

    def load_data_list(self) -> list[dict]:
        """Load the annotations as the parent does, with errors that name the file."""
        if not osp.exists(self.ann_file) and "://" not in self.ann_file:
            raise FileNotFoundError(
                f"Expected the annotations {self.ann_file} but got no such file. Write it with "
                "mmglan prepare, or set data_root."
            )
        data_list = super().load_data_list()
        if not self.cat_ids:
            raise ValueError(
                f"{self.ann_file}: Expected categories {list(self.metainfo['classes'])} but got "
                "none of them. Set metainfo=dict(classes=...) to the file's own."
            )
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse an image as the parent does, with patient, volume and neighbouring slices."""
        data_info = super().parse_data_info(raw_data_info)
        image = raw_data_info["raw_img_info"]
        data_info.update({key: image[key] for key in PASSED_ON if key in image})
        if "neighbours" in image:
            folder = self.data_prefix["img"]
            data_info["neighbours"] = [osp.join(folder, name) for name in image["neighbours"]]
        return data_info
