"""Where the installed MMDetection keeps its own scripts: `python -m mmglan.engine.mmdet_tools`.

Our `tools/` hand over to those scripts; none of them is copied.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mmdet


def tool_path(name: str) -> Path:
    """Find a script of the installed MMDetection.

    Args:
        name: e.g. `train.py` or `slurm_train.sh`.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: this installation has no such script.
    """
    package = Path(mmdet.__file__).resolve().parent
    for folder in (package / ".mim" / "tools", package.parent / "tools"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"Expected mmdet's {name} in {package.name}/.mim/tools but found none there. "
        "Install mmdet from a wheel or with `pip install -e` from its source tree."
    )


if __name__ == "__main__":
    try:
        print(tool_path(sys.argv[1]))
    except (FileNotFoundError, IndexError) as error:
        sys.exit(f"mmglan.engine.mmdet_tools: {error}")
