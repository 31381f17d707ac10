"""Ours w/o global-local attention on lgg-key, loss weights of mean 1."""

_base_ = "./glan_mnv2_fpn_wo-attention_20e_lgg-key.py"

model = dict(mean_one=True)
