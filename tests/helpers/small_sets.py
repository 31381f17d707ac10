"""Small inputs of `prepare` for tests: volumes of noise with a bright block, and their rows."""

import json

import numpy as np
import SimpleITK as sitk

from data_prep import prepare

HEADER = "volume,slice,patient,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"


def run(images, marks, out, *more):
    source = ["--images", images, "--bookmarks", marks, "--out-dir", out, "--overlays", 0]
    return prepare.main([*map(str, source), "--quiet", *map(str, more)])


def volume(path, shape=(6, 40, 40), seed=0):
    array = np.random.default_rng(seed).integers(0, 300, shape).astype(np.int16)
    array[:, 15:26, 12:29] += 2000
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 3.0))
    sitk.WriteImage(image, str(path))


def cross(name, z, x=20, y=20, half=8, across=5, patient="a"):
    ends = (x - half, y, x + half, y, x, y - across, x, y + across)
    return ",".join(map(str, (name, z, patient, *ends)))


def lesions(out):
    sets = [out / "annotations" / f"{split}.json" for split in ("train", "val", "test")]
    return [a for path in sets for a in json.loads(path.read_bytes())["annotations"]]
