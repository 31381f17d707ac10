"""Train a config: hands over to mmdet's own train.py with all arguments (see --help).

Example:
    python tools/train.py configs/glan/glan_r50_fpn_160e_lesions.py --work-dir work_dirs/glan

The environment variable MMGLAN_DATA names the data set (default data/lesions/). Unlike mmdet's
script, `--resume` may be given from the first start on: it is dropped while there is nothing to
resume, so that the checkpoint in `load_from` is not forgotten.
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmglan.mmdet_tools import tool_path, without_vain_resume

if __name__ == "__main__":
    sys.argv[1:] = without_vain_resume(sys.argv[1:])
    runpy.run_path(str(tool_path("train.py")), run_name="__main__")
