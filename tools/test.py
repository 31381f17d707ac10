"""Test a checkpoint: hands over to mmdet's own test.py, and keeps results in the run directory.

Example:
    python tools/test.py configs/glan/glan_r50_fpn_160e_lesions.py work_dirs/glan/epoch_160.pth

`<work dir>/results.metrics.json`, `results.bbox.json` and `results.segm.json` are written unless
`--cfg-options test_evaluator.outfile_prefix=…` names another place.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmglan.experiments.mmdet_tools import tool_path, work_dir_of
from mmglan.experiments.parent_death import die_with_launcher

KEY = "test_evaluator.outfile_prefix"


def with_results(arguments: list[str]) -> list[str]:
    """Add the place of the results to mmdet's arguments.

    Args:
        arguments: command line of mmdet's test.py; the launcher may put its own options first.

    Returns:
        The command line with `test_evaluator.outfile_prefix` among its `--cfg-options`.

    Raises:
        FileNotFoundError: the config named does not exist.
    """
    work_dir = work_dir_of(arguments)
    if work_dir is None or any(item.startswith(f"{KEY}=") for item in arguments):
        return arguments
    option = f"{KEY}={work_dir / 'results'}"
    if "--cfg-options" in arguments:
        place = arguments.index("--cfg-options") + 1
        return [*arguments[:place], option, *arguments[place:]]
    return [*arguments, "--cfg-options", option]


if __name__ == "__main__":
    die_with_launcher()
    try:
        sys.argv[1:] = with_results(sys.argv[1:])
    except OSError as error:
        sys.exit(f"error: {error}")
    runpy.run_path(str(tool_path("test.py")), run_name="__main__")
