"""Let the command lines of train.py and test.py name a config instead of giving its path."""

from __future__ import annotations

from collections.abc import Sequence

from mmglan.shipped_files import find_config

_WITH_VALUE = (
    *("--work-dir", "--launcher", "--local-rank", "--local_rank"),
    *("--resume", "--resume-from", "--show-dir"),
)


def with_config_path(arguments: Sequence[str]) -> list[str]:
    """Replace the config on a command line by the path of its file.

    Args:
        arguments: Command line of mmdet's train.py or test.py; a launcher may have put its own
            options first. The config is the first word that ends in `.py`, else the first word
            that is neither an option nor the value of one.

    Returns:
        The command line with a path; as it is if it names no config.

    Raises:
        FileNotFoundError: There is no such file and no config of this name.
    """
    place = next((i for i, word in enumerate(arguments) if _is_python_file(word)), None)
    if place is None:
        place = next((i for i in range(len(arguments)) if _is_positional(arguments, i)), None)
    if place is None:
        return list(arguments)
    return [*arguments[:place], str(find_config(arguments[place])), *arguments[place + 1 :]]


def _is_python_file(word: str) -> bool:
    return word.endswith(".py") and not word.startswith("-") and "=" not in word


def _is_positional(arguments: Sequence[str], place: int) -> bool:
    word, before = arguments[place], arguments[place - 1] if place else ""
    return not word.startswith("-") and "=" not in word and before not in _WITH_VALUE
