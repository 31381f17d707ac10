"""Ours on lgg-key, as recommended for whole volumes: docs/evidence.md says what each part gave.

Loss weights of mean 1; scores averaged over two slices on either side.
"""

_base_ = "./glan_mnv2_fpn_20e_lgg-key.py"

model = dict(mean_one=True)
test_evaluator = dict(neighbour_reach=2)
