"""Values of `--cfg-options` on the command line: paths stay as they are.

MMEngine's parser takes all spaces out of every value, so that `work_dir="run dir"` names another
folder, and makes a list of what has a comma. The scripts of MMDetection that our commands start get
this parser in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mmengine.config
from mmengine.config import DictAction

_PATHS = ("work_dir", "load_from", "resume", "checkpoint", "img")
_PATH_ENDINGS = ("_root", "_dir", "_file", "_prefix", "_path")


def is_path(key: str) -> bool:
    """Tell whether a setting holds a path, by the last part of its name."""
    name = key.rpartition(".")[2]
    return name in _PATHS or name.endswith(_PATH_ENDINGS)


class OptionAction(DictAction):
    """Reads `key=value` words as its parent does, but for paths, quoted text and single words."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Add the options to those given before."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for word in values or ():
            key, sign, value = word.partition("=")
            if not sign:
                parser.error(f"{option_string}: expected KEY=VALUE but got {word!r}")
            options[key] = option_value(key, value)
        setattr(namespace, self.dest, options)


def option_value(key: str, text: str) -> Any:
    """Read the value of one option.

    Args:
        key: Dotted path of a setting.
        text: What stands behind the first `=`.

    Returns:
        Text as it is for a path or in quotes; else as MMEngine reads it, with the spaces that are
        not between the parts of a list.

    Examples:
        >>> option_value('work_dir', 'a, b=c'), option_value('image_scale', '64, 64')
        ('a, b=c', [64, 64])
    """
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    plain = text[1:-1] if quoted else text
    if quoted or (is_path(key) and plain not in ("None", "True", "False")):
        return plain
    if not set(text) & set(",[]()"):
        return DictAction._parse_int_float_bool(text.strip())
    return DictAction._parse_iterable(text)


@contextmanager
def options_of_scripts() -> Iterator[None]:
    """Give scripts that import MMEngine's parser inside the context this one."""
    before = mmengine.config.DictAction
    mmengine.config.DictAction = OptionAction
    try:
        yield
    finally:
        mmengine.config.DictAction = before
