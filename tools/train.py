"""Train a config: hands over to mmdet's own train.py with all arguments (see --help).

Example:
    python tools/train.py configs/glan/glan_r50_fpn_160e_lesions.py --work-dir work_dirs/glan

The environment variable MMGLAN_DATA names the data set (default data/lesions/).
"""

import runpy

from mmglan.engine.mmdet_tools import tool_path

if __name__ == "__main__":
    runpy.run_path(str(tool_path("train.py")), run_name="__main__")
