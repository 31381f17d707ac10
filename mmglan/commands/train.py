"""Train a config: hands over to MMDetection's own train.py with all arguments.

    mmglan train glan_r50_fpn_160e_lesions
    mmglan train path/of/my_config.py --work-dir work_dirs/mine --cfg-options ...

The config is a file or a name that `mmglan configs` lists. The environment variable MMGLAN_DATA
names the data set (default data/lesions/). Unlike MMDetection's script, --resume may be given from
the first start on: it is dropped while there is nothing to resume, so that the checkpoint in
`load_from` is not forgotten. A run directory that was moved resumes too, and one that another
training writes into is refused.

--resume-from MODEL starts a new run from the weights of a trained model, to learn again from
corrected data.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mmglan.commands.common.hand_over import hand_over
from mmglan.experiments.mmdet_tools import (
    is_first_process,
    with_checkpoint_to_resume,
    with_weights_to_start_from,
    work_dir_of,
)
from mmglan.experiments.run_directory import hold


def prepare(arguments: list[str]) -> list[str]:
    """Lock the run directory and find the checkpoint to resume from.

    Args:
        arguments: Command line of mmdet's train.py, the config as a path.

    Returns:
        The command line for mmdet's script.

    Raises:
        OSError: Another process trains in the run directory, or it cannot be written.
    """
    arguments = with_weights_to_start_from(arguments)
    run_dir = work_dir_of(arguments)
    if run_dir is not None and is_first_process(arguments, os.environ):
        hold(run_dir)
    return with_checkpoint_to_resume(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mmdet's train.py in this process; 0 if it succeeded, 2 if it was not started."""
    return hand_over("train.py", arguments, prepare, about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
