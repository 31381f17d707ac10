"""Train a config: hands over to mmdet's own train.py with all arguments (see --help).

Example:
    mmglan train configs/glan/glan_r50_fpn_160e_lesions.py --work-dir work_dirs/glan

The environment variable MMGLAN_DATA names the data set (default data/lesions/). Unlike mmdet's
script, `--resume` may be given from the first start on: it is dropped while there is nothing to
resume, so that the checkpoint in `load_from` is not forgotten. A run directory that was moved
resumes too, and one that another training writes into is refused.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence

from mmglan.experiments.mmdet_tools import (
    is_first_process,
    tool_path,
    with_checkpoint_to_resume,
    work_dir_of,
)
from mmglan.experiments.parent_death import die_with_launcher
from mmglan.experiments.run_directory import hold


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mmdet's train.py in this process; 0 if it succeeded."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    die_with_launcher()
    try:
        run_dir = work_dir_of(arguments)
        if run_dir is not None and is_first_process(arguments, os.environ):
            hold(run_dir)
        sys.argv[1:] = with_checkpoint_to_resume(arguments)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    runpy.run_path(str(tool_path("train.py")), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
