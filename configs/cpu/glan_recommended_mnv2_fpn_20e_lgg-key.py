"""What is recommended for few key slices: the uncertainty loss with weights of mean 1."""

_base_ = "./glan_mnv2_fpn_wo-attention_20e_lgg-key.py"

model = dict(mean_one=True)
