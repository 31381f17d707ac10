"""Print how the second config differs from the first: path, value in the first, in the second.

    mmglan diff-configs configs/baselines/mask-rcnn_r50_fpn_160e_lesions.py \\
        configs/glan/glan_r50_fpn_160e_lesions.py

Only settings that a run reads are compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from mmglan.experiments.config_diff import differences


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the differences; 0 whether there are any or not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first")
    parser.add_argument("second")
    args = parser.parse_args(arguments)
    for name in (args.first, args.second):
        if not Path(name).is_file():
            parser.error(f"expected a config but found no file {name}")
    first, second = (
        Config.fromfile(name, import_custom_modules=False) for name in (args.first, args.second)
    )
    changes = differences(first, second)
    lines = [f"{path}: {old!r} -> {new!r}" for path, (old, new) in changes.items()]
    print("\n".join(lines or ["A run sees no difference."]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
