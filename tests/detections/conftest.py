"""Fixtures of the made-up test set."""

from coco_sets import coco_set  # noqa: F401
