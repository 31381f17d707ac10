"""Find the scripts of the installed MMDetection: `python -m mmglan.experiments.mmdet_tools`.

Our `tools/` hand over to those scripts; none of them is copied.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from mmglan.experiments.run_directory import latest_checkpoint

# Where the launchers that mmdet knows leave the number of a process.
_RANK_OF = {"pytorch": "RANK", "slurm": "SLURM_PROCID", "mpi": "OMPI_COMM_WORLD_RANK"}


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
        raise FileNotFoundError("Expected mmdet to be installed but found none. Run mmglan doctor.")
    package = Path(spec.origin).resolve().parent
    for folder in (package / ".mim" / "tools", package.parent / "tools"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"Expected mmdet's {name} in {package.name}/.mim/tools but found none there. "
        "Install mmdet from a wheel or with `pip install -e` from its source tree."
    )


def config_of(arguments: Sequence[str]) -> Path | None:
    """Find the config in the arguments of mmdet's train.py or test.py.

    Args:
        arguments: their command line; a launcher may have put its own options first.

    Returns:
        Its path; None if none is named.

    Raises:
        FileNotFoundError: there is no such file.
    """
    config = next((Path(item) for item in arguments if item.endswith(".py")), None)
    if config is not None and not config.is_file():
        raise FileNotFoundError(
            f"{config}: Expected a config but found no such file. See mmglan configs."
        )
    return config


def work_dir_of(arguments: Sequence[str]) -> Path | None:
    """Find the run directory that mmdet's train.py or test.py will use.

    Args:
        arguments: their command line; a launcher may have put its own options first.

    Returns:
        `--work-dir`, else `work_dir` of `--cfg-options` or of the config, else
        `work_dirs/<config>`; None if no config is named.

    Raises:
        FileNotFoundError: the config named does not exist.
    """
    config = config_of(arguments)
    for index, item in enumerate(arguments):
        if item == "--work-dir" and index + 1 < len(arguments):
            return Path(arguments[index + 1])
        if item.startswith("--work-dir="):
            return Path(item.partition("=")[2])
    if config is None:
        return None
    options = [item.partition("=")[2] for item in arguments if item.startswith("work_dir=")]
    return Path(options[-1] if options else _work_dir_in(config) or f"work_dirs/{config.stem}")


def _work_dir_in(config: Path) -> str | None:
    from mmengine.config import Config  # takes a second, which most command lines need not wait

    return Config.fromfile(config, import_custom_modules=False).get("work_dir")


def with_checkpoint_to_resume(arguments: Sequence[str]) -> list[str]:
    """Name the checkpoint that `--resume` (or `--resume auto`) goes on from, or drop the option.

    mmdet's train.py forgets `load_from` when it is told to resume, so that the first start of a
    run would train from scratch, not from the COCO weights that its config names. And it follows
    `last_checkpoint` to wherever the run was when that was written.

    Args:
        arguments: command line of mmdet's train.py.

    Returns:
        The command line with the file after `--resume`; without the option if the run directory
        has no checkpoint; as it is if it names a file, or no whole one is left there.
    """
    words = [part for item in arguments for part in _resume_words(item)]
    if "--resume" not in words:
        return list(arguments)
    place = words.index("--resume")
    following = (words[place + 1 : place + 2] or ["-"])[0]
    named = not following.startswith("-") and not following.endswith(".py")
    work_dir = work_dir_of(arguments)
    if work_dir is None or (named and following != "auto"):
        return list(arguments)
    before, after = words[:place], words[place + 1 + named :]
    if not (work_dir / "last_checkpoint").exists():
        return [*before, *after]
    checkpoint = latest_checkpoint(work_dir)
    return [*before, "--resume", str(checkpoint) if checkpoint else "auto", *after]


def with_weights_to_start_from(arguments: Sequence[str]) -> list[str]:
    """Replace `--resume-from MODEL`, which mmdet's script does not know, by `load_from`.

    A new run starts from the weights of a model, on the data and schedule of its config; `--resume`
    goes on with the same run, and comes first where both are given.

    Args:
        arguments: command line of mmdet's train.py.

    Raises:
        FileNotFoundError: No file is named, or there is none of that name.
    """
    words = [part for item in arguments for part in _resume_words(item, "--resume-from")]
    if "--resume-from" not in words:
        return list(arguments)
    place = words.index("--resume-from")
    model = (words[place + 1 : place + 2] or [""])[0]
    if not Path(model).is_file():
        raise FileNotFoundError(
            f"Expected a checkpoint after --resume-from but found no such file: {model or 'none'}."
            " Name the .pth file of a training."
        )
    return [*words[:place], *words[place + 2 :], "--cfg-options", f"load_from={model}"]


def _resume_words(item: str, option: str = "--resume") -> list[str]:
    return item.split("=", 1) if item.startswith(f"{option}=") else [item]


def is_first_process(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Tell whether a process is the first of those that train together, or the only one.

    Args:
        arguments: command line of mmdet's train.py.
        environment: environment variables.
    """
    words = [part for item in arguments for part in item.split("=", 1)]
    launcher = words[words.index("--launcher") + 1] if "--launcher" in words[:-1] else "none"
    return environment.get(_RANK_OF.get(launcher, ""), "0") == "0"


if __name__ == "__main__":
    try:
        print(tool_path(sys.argv[1]))
    except (FileNotFoundError, IndexError) as error:
        sys.exit(f"mmglan.experiments.mmdet_tools: {error}")
