"""Test a checkpoint: hands over to MMDetection's own test.py, and keeps its results.

    mmglan test glan_r50_fpn_160e_lesions work_dirs/glan_r50_fpn_160e_lesions/epoch_160.pth

The config is a file or a name that `mmglan configs` lists. `<work dir>/results.metrics.json`,
`results.bbox.json` and `results.segm.json` are written unless
`--cfg-options test_evaluator.outfile_prefix=…` names another place.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmglan.commands.common.hand_over import hand_over
from mmglan.experiments.mmdet_tools import config_of, work_dir_of
from mmglan.experiments.run_directory import refuse_links

NAME = "outfile_prefix"


def with_results(arguments: list[str]) -> list[str]:
    """Add the place of the results to mmdet's arguments.

    Args:
        arguments: Command line of mmdet's test.py; the launcher may put its own options first.

    Returns:
        The command line with `test_evaluator.outfile_prefix` among its `--cfg-options`; with that
        of `LesionMetric` where the config has a list of metrics.

    Raises:
        FileNotFoundError: The config named does not exist.
        OSError: A link in the work directory leads out of it.
    """
    work_dir, config = work_dir_of(arguments), config_of(arguments)
    if work_dir is not None:
        refuse_links(work_dir)
    given = re.compile(rf"test_evaluator\.(\d+\.)?{NAME}=")
    if work_dir is None or any(given.match(item) for item in arguments):
        return arguments
    metrics = _test_evaluator(config)
    place = "test_evaluator"
    if isinstance(metrics, (list, tuple)):
        ours = [i for i, metric in enumerate(metrics) if metric.get("type") == "LesionMetric"]
        if not ours:
            return arguments
        place = f"{place}.{ours[0]}"
    option = f"{place}.{NAME}={work_dir / 'results'}"
    if "--cfg-options" in arguments:
        place = arguments.index("--cfg-options") + 1
        return [*arguments[:place], option, *arguments[place:]]
    return [*arguments, "--cfg-options", option]


def _test_evaluator(config: Path) -> Any:
    from mmengine.config import Config  # takes a second, which --help need not wait

    return Config.fromfile(config, import_custom_modules=False).get("test_evaluator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mmdet's test.py in this process; 0 if it succeeded, 2 if it was not started."""
    return hand_over("test.py", arguments, with_results, about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
