"""Print how the second config differs from the first: path, value in the first, in the second.

    mmglan diff-configs mask-rcnn_r50_fpn_160e_lesions glan_r50_fpn_160e_lesions

A config is a file or a name that `mmglan configs` lists. Only settings that a run reads are
compared.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmengine.config import Config

from data_prep.command_line import command_parser, reports_errors
from mmglan.experiments.config_diff import differences
from mmglan.shipped_files import find_config


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the differences; 0 whether there are any or not."""
    parser = command_parser(__doc__)
    parser.add_argument("first")
    parser.add_argument("second")
    args = parser.parse_args(arguments)
    first, second = (
        Config.fromfile(find_config(name), import_custom_modules=False)
        for name in (args.first, args.second)
    )
    changes = differences(first, second)
    lines = [f"{path}: {old!r} -> {new!r}" for path, (old, new) in changes.items()]
    print("\n".join(lines or ["A run sees no difference."]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
