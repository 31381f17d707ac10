"""What files of volumes and masks are called; every search for them goes by these rules."""

from __future__ import annotations

import re

# In the order of preference; of two that fit a name the longer one first.
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")
_MASK_WORDS = ("mask", "seg", "segmentation", "label", "dseg")  # in the order of preference
_MASK_WORD = re.compile(rf"(?:^|[_.-])({'|'.join(_MASK_WORDS)})s?$", re.IGNORECASE)
_MASK_FOLDER = re.compile(r"(masks?|segs?|segmentations?|labels?(tr|ts|va)?)$", re.IGNORECASE)
# nnU-Net's number of the channel, LNQ's kind of the image.
_IMAGE_WORD = re.compile(r"(?<=.)(_000\d|[-_](ct|mri?|image))$", re.IGNORECASE)


def suffix_of(name: str) -> str:
    """Return the ending of a volume format that a name has, in lower case; empty if none."""
    lower = name.lower()
    return next((suffix for suffix in VOLUME_SUFFIXES if lower.endswith(suffix)), "")


def strip_suffix(name: str) -> str:
    """Return a file name or path without the ending of its volume format, if it has one.

    >>> strip_suffix("a/case7.NII.GZ"), strip_suffix("a/case7.txt")
    ('a/case7', 'a/case7.txt')
    """
    return name[: -len(suffix)] if (suffix := suffix_of(name)) else name


def mask_word(name: str) -> str | None:
    """Return the word by which a file says that it is a mask, if it does.

    >>> mask_word("case7_Labels.nii.gz"), mask_word("seg.mha"), mask_word("unmasked.mha")
    ('label', 'seg', None)
    """
    found = _MASK_WORD.search(strip_suffix(name.rpartition("/")[2]))
    return None if found is None else found[1].lower()


def is_called_mask(path: str) -> bool:
    """Say whether a file is called as a mask, or lies in a folder that is.

    >>> is_called_mask("a_seg.nrrd"), is_called_mask("labelsTr/a.nii"), is_called_mask("imagesTr/a")
    (True, True, False)
    """
    folders = path.split("/")[:-1]
    return mask_word(path) is not None or any(map(_MASK_FOLDER.match, folders))


def strip_mask_word(path: str) -> str:
    """Return the path of a file without ending and without the word that tells a mask.

    >>> strip_mask_word("a/case7-labels.mha"), strip_mask_word("a/seg.mha")
    ('a/case7', 'a/seg')
    """
    stem = strip_suffix(path)
    found = _MASK_WORD.search(stem.rpartition("/")[2])
    return stem[: -len(found[0])] if found is not None and found.start() > 0 else stem


def strip_image_word(stem: str) -> str:
    """Return a name without the word that tells an image from its mask in nnU-Net and LNQ layouts.

    >>> strip_image_word("case7_0000"), strip_image_word("lnq-0001-CT"), strip_image_word("ct")
    ('case7', 'lnq-0001', 'ct')
    """
    return _IMAGE_WORD.sub("", stem)


def mask_preference(file: str) -> tuple[int, int, str]:
    """Return a key that sorts the masks of one volume; those that are called masks come first."""
    word = mask_word(file)
    rank = len(_MASK_WORDS) if word is None else _MASK_WORDS.index(word)
    return rank, VOLUME_SUFFIXES.index(suffix_of(file)), file
