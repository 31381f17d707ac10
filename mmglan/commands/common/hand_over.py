"""Run a script of the installed MMDetection in this process."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Sequence

from mmglan.experiments.config_argument import with_config_path
from mmglan.experiments.mmdet_tools import tool_path
from mmglan.experiments.parent_death import die_with_launcher


def hand_over(
    script: str,
    arguments: Sequence[str] | None,
    prepare: Callable[[list[str]], list[str]],
    *,
    about: str,
) -> int:
    """Run mmdet's train.py or test.py; it ends when the launcher of its processes does.

    Args:
        script: Name of the script.
        arguments: Its command line, where the config may be a name; default this process's.
        prepare: Makes the command line for the script; may raise OSError.
        about: What is printed above the script's own help.

    Returns:
        0 if the script succeeded, 2 if it could not be started or an option names a setting that
        no run reads. Other errors within it pass through.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    die_with_launcher()
    try:
        path = tool_path(script)
        if {"-h", "--help"} & set(arguments):
            print(about)
        else:
            arguments = prepare(with_config_path(arguments))
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from mmglan.config_options import ConfigOptionError  # imports MMEngine
    from mmglan.option_values import options_of_scripts

    sys.argv[1:] = arguments
    try:
        with options_of_scripts():
            runpy.run_path(str(path), run_name="__main__")
    except ConfigOptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
