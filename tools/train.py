"""Train a config: hands over to mmdet's own train.py with all arguments (see --help).

Example:
    python tools/train.py configs/glan/glan_r50_fpn_160e_lesions.py --work-dir work_dirs/glan

The environment variable MMGLAN_DATA names the data set (default data/lesions/). Unlike mmdet's
script, `--resume` may be given from the first start on: it is dropped while there is nothing to
resume, so that the checkpoint in `load_from` is not forgotten. A run directory that was moved
resumes too, and one that another training writes into is refused.
"""

import os
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmglan.experiments.mmdet_tools import (
    is_first_process,
    tool_path,
    with_checkpoint_to_resume,
    work_dir_of,
)
from mmglan.experiments.parent_death import die_with_launcher
from mmglan.experiments.run_directory import hold

if __name__ == "__main__":
    die_with_launcher()
    try:
        run_dir = work_dir_of(sys.argv[1:])
        if run_dir is not None and is_first_process(sys.argv[1:], os.environ):
            hold(run_dir)
        sys.argv[1:] = with_checkpoint_to_resume(sys.argv[1:])
    except OSError as error:
        sys.exit(f"error: {error}")
    runpy.run_path(str(tool_path("train.py")), run_name="__main__")
