"""Test a checkpoint: hands over to mmdet's own test.py, and keeps results in the run directory.

Example:
    mmglan test configs/glan/glan_r50_fpn_160e_lesions.py work_dirs/glan/epoch_160.pth

`<work dir>/results.metrics.json`, `results.bbox.json` and `results.segm.json` are written unless
`--cfg-options test_evaluator.outfile_prefix=…` names another place.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mmdet's test.py in this process; 0 if it succeeded."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    die_with_launcher()
    try:
        sys.argv[1:] = with_results(arguments)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    runpy.run_path(str(tool_path("test.py")), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
