"""Where the installed MMDetection keeps its own scripts: `python -m mmglan.mmdet_tools`.

Our `tools/` hand over to those scripts; none of them is copied.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path


def tool_path(name: str) -> Path:
    """Find a script of the installed MMDetection.

    Args:
        name: e.g. `train.py` or `slurm_train.sh`.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: this installation has no such script.
    """
    spec = find_spec("mmdet")  # found, not imported: importing takes seconds
    if spec is None or spec.origin is None:
        raise FileNotFoundError("Expected mmdet to be installed but found none. See the README.")
    package = Path(spec.origin).resolve().parent
    for folder in (package / ".mim" / "tools", package.parent / "tools"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"Expected mmdet's {name} in {package.name}/.mim/tools but found none there. "
        "Install mmdet from a wheel or with `pip install -e` from its source tree."
    )


def work_dir_of(arguments: Sequence[str]) -> Path | None:
    """The run directory that mmdet's train.py or test.py will use.

    Args:
        arguments: their command line; a launcher may have put its own options first.

    Returns:
        `--work-dir`, else `work_dirs/<config>`; None if no config is named.
    """
    for index, item in enumerate(arguments):
        if item == "--work-dir" and index + 1 < len(arguments):
            return Path(arguments[index + 1])
        if item.startswith("--work-dir="):
            return Path(item.partition("=")[2])
    config = next((item for item in arguments if item.endswith(".py")), None)
    return None if config is None else Path("work_dirs") / Path(config).stem


def without_vain_resume(arguments: Sequence[str]) -> list[str]:
    """Drop `--resume` (and `--resume auto`) where there is nothing to resume yet.

    mmdet's train.py forgets `load_from` when it is told to resume, so that the first start of a
    run would train from scratch, not from the COCO weights that its config names.

    Args:
        arguments: command line of mmdet's train.py.

    Returns:
        The command line, without a `--resume` that names no file if the run directory has no
        checkpoint.
    """
    work_dir = work_dir_of(arguments)
    if work_dir is None or (work_dir / "last_checkpoint").exists():
        return list(arguments)
    kept = [item for item in arguments if item != "--resume=auto"]
    if "--resume" in kept:
        place = kept.index("--resume")
        following = (kept[place + 1 : place + 2] or ["-"])[0]
        if following == "auto":
            del kept[place : place + 2]
        elif following.startswith("-") or following.endswith(".py"):
            del kept[place]
    return kept


if __name__ == "__main__":
    try:
        print(tool_path(sys.argv[1]))
    except (FileNotFoundError, IndexError) as error:
        sys.exit(f"mmglan.mmdet_tools: {error}")
