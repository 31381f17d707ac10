"""Reading checkpoints as plain weights with PyTorch before 2.6.

There, `weights_only=True` knows no exceptions by name, which the log histories in training
checkpoints need. This reader lets the standard unpickler resolve the names of a list and no other.
"""

from __future__ import annotations

import codecs
import collections
import pickle
import types
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

# Names with which tensors and containers of them are pickled; PyTorch reads storages itself.
TORCH_GLOBALS: dict[str, Any] = {
    "collections.OrderedDict": collections.OrderedDict,
    "collections.Counter": collections.Counter,
    "torch._utils._rebuild_tensor": torch._utils._rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
    "torch.nn.parameter.Parameter": torch.nn.Parameter,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    "builtins.set": set,
    "_codecs.encode": codecs.encode,  # bytes, as the protocol of torch.save writes them
    **{
        f"torch.{name}": value
        for name, value in vars(torch).items()
        if isinstance(value, torch.dtype)
    },
}


def restricted_pickle(names: Mapping[str, Any]) -> types.ModuleType:
    """Make a stand-in for `pickle` that resolves the names given and refuses all others.

    Args:
        names: `module.name` -> what it stands for.

    Returns:
        Module with `Unpickler` and `load`, for `torch.load(pickle_module=...)`.
    """

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            # The protocol of torch.save uses the names of Python 2.
            full_name = f"{'builtins' if module == '__builtin__' else module}.{name}"
            if full_name not in names:
                raise pickle.UnpicklingError(f"GLOBAL {full_name}")
            return names[full_name]

    stand_in = types.ModuleType("restricted_pickle")
    stand_in.Unpickler = Unpickler
    stand_in.load = lambda file, **options: Unpickler(file, **options).load()
    return stand_in


def load_restricted(path: Path, names: Mapping[str, Any], map_location: Any = None) -> Any:
    """Read a file of `torch.save` that holds nothing but tensors, containers and `names`.

    Args:
        path: the file.
        names: `module.name` -> what it stands for, beside `TORCH_GLOBALS`.
        map_location: as in `torch.load`.

    Raises:
        pickle.UnpicklingError: the file names anything else, or is a TorchScript program.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise pickle.UnpicklingError("a TorchScript program")
    stand_in = restricted_pickle({**TORCH_GLOBALS, **names})
    return torch.load(path, map_location, pickle_module=stand_in, weights_only=False)
