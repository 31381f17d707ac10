"""Checkpoints are read as plain weights, or not at all.

A PyTorch checkpoint is a pickle, and unpickling runs whatever code its maker put there.
MMEngine first tries torch's safe reader and then, with a warning, unpickles anything. Importing
this module puts a reader in its place that stops at the first attempt and says what to do. It
covers everything that goes through MMEngine's loader: `load_from`, `--resume`, `test.py`,
`init_detector` and pretrained backbones.

To convert a file that you trust (it *is* executed): `mmglan convert-checkpoint FILE OUT
--i-trust-this-file`.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import sys
import urllib.error
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as loaders
from mmengine.runner import runner
from mmengine.utils import digit_version

from data_prep.atomic_files import open_atomically
from data_prep.command_line import reports_errors
from data_prep.errors import quoted
from mmglan.engine import plain_arrays
from mmglan.engine.restricted_pickle import load_restricted

# Named here, since a file may add to the histories' own list of them, which all histories share.
_HISTORY_METHODS = frozenset(("min", "max", "mean", "current"))


def _history_method(owner: type, name: str) -> Any:
    """Stand in for the `getattr` with which pickled log histories name their own methods."""
    if owner is not HistoryBuffer or name not in _HISTORY_METHODS:
        raise pickle.UnpicklingError(f"a reference to {name!r} of {owner!r}")
    return getattr(owner, name)


# As in PyTorch's and OpenMMLab's names: `resnet50-0676ba61.pth`, `…_20200130-9cb7a3a3.pth`.
_HASH = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")

# What MMEngine's own training checkpoints hold beside tensors: the histories of the log.
SAFE_GLOBALS: dict[str, Any] = {
    "mmengine.logging.history_buffer.HistoryBuffer": HistoryBuffer,
    "builtins.getattr": _history_method,
    **plain_arrays.NAMES,
}
NAMED_EXCEPTIONS = digit_version(torch.__version__) >= digit_version("2.6")


def safe_load(path: str | Path, map_location: Any = None) -> Any:
    """Read a checkpoint without running code from it.

    Args:
        path: file written by `torch.save`.
        map_location: as in `torch.load`.

    Returns:
        What the file holds: tensors, numbers, strings and containers of them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds anything else, or is no checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: Expected a checkpoint but found no such file. Check load_from, or, with "
            "--resume, the file last_checkpoint in the run directory."
        )
    try:
        if not NAMED_EXCEPTIONS:
            return load_restricted(path, SAFE_GLOBALS, map_location)
        named = [(value, name) for name, value in SAFE_GLOBALS.items()]
        # PyTorch wants a name for these; one with a line feed is no name that a file can give.
        named += [(kind, f"\n{kind.__name__}") for kind in plain_arrays.STATEFUL]
        with torch.serialization.safe_globals(named):
            return torch.load(path, map_location=map_location, weights_only=True)
    except (OSError, MemoryError):
        raise  # says nothing about what the file holds
    except Exception as error:  # damaged files make the readers raise nearly anything
        raise ValueError(_refusal(str(path), error)) from error


def _refusal(path: str, error: Exception) -> str:
    """Say in one line what was expected, what was found, what to do."""
    text = str(error).rpartition("WeightsUnpickler error:")[2]  # PyTorch's advice stands before
    found = re.search(r"GLOBAL ([\w.]+)|a reference to .*", text)
    reason = found.group() if found else " ".join(text.split())[:100]
    return (
        f"{path}: Expected a checkpoint of plain weights but got a file that holds something "
        "else or is damaged; it was not loaded, because unpickling runs code from the file. "
        "If you trust its maker, convert it once: mmglan convert-checkpoint "
        f"{path} OUT.pth --i-trust-this-file. (Found: {reason})"
    )


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a path for MMEngine: see `safe_load`."""
    return safe_load(filename, map_location)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Load an http(s) address for MMEngine; rank 0 downloads, the others read its copy.

    Nodes that do not share the cache of rank 0 download a copy of their own.

    Args:
        filename: address.
        map_location: as in `torch.load`.

    Raises:
        ConnectionError: the address could not be fetched.
        ValueError: the file holds more than weights.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / filename.split("?")[0].rsplit("/", 1)[-1]
    if get_rank() == 0:
        download_once(filename, path)
    barrier()
    if os.environ.get("LOCAL_RANK", "0") == "0":
        download_once(filename, path)
    barrier()
    return safe_load(path, map_location)


def download_once(address: str, path: Path) -> None:
    """Fetch a file, whole or not at all, unless it is there.

    Args:
        address: http(s) address.
        path: file to write.

    Raises:
        ConnectionError: the address could not be fetched.
        ValueError: its name carries a hash, as `…-0a1b2c3d.pth`, and the file has another one.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    named = _HASH.search(path.name)
    try:  # PyTorch downloads to a file with a random name beside it
        torch.hub.download_url_to_file(
            address,
            str(path),
            hash_prefix=named[1] if named else None,
            progress=sys.stderr.isatty(),
        )
    except RuntimeError as error:
        raise ValueError(
            f"{address}: Expected a file whose SHA-256 begins with {named[1] if named else ''}, as "
            "its name says, but got another one. Fetch it from the place where it was published."
        ) from error
    except (urllib.error.URLError, OSError) as error:
        raise ConnectionError(
            f"{address}: Expected to fetch this checkpoint but got {error}. Without network, fetch "
            f"it elsewhere and put it at {path}, or train with --cfg-options load_from=FILE."
        ) from error


def load_from_model_zoo(filename: str, map_location: Any = None) -> Any:
    """Load `torchvision://`, `open-mmlab://` and `mmcls://` names for MMEngine."""
    scheme, _, name = filename.partition("://")
    if scheme in ("torchvision", "modelzoo"):
        address = loaders.get_torchvision_models()[name]
    elif scheme == "mmcls":
        address = loaders.get_mmcls_models()[name]
    else:
        name = loaders.get_deprecated_model_names().get(name, name)
        address = loaders.get_external_models()[name]
    checkpoint = load_from_http(address, map_location)
    return loaders._process_mmcls_checkpoint(checkpoint) if scheme == "mmcls" else checkpoint


def refuse_remote_storage(filename: str, map_location: Any = None) -> Any:
    """Refuse `s3://`, `petrel://` and `pavi://` paths of MMEngine."""
    raise ValueError(
        f"{filename}: Expected a file or an http(s) address but got remote storage. "
        "Copy the checkpoint to this machine and name its path."
    )


def find_latest_checkpoint(path: str | Path) -> str | None:
    """Find the checkpoint of a run directory for MMEngine, in that directory only.

    The note `last_checkpoint` comes with the directory, perhaps from elsewhere: it may name no
    address, and no file of another folder.

    Args:
        path: run directory.

    Returns:
        The file noted, None without a note.

    Raises:
        ValueError: the note names something else.
    """
    note = Path(path) / "last_checkpoint"
    if not note.is_file():
        return None
    noted = note.read_text(errors="replace").strip()
    found = Path(path) / Path(noted).name
    if "://" in noted or not found.resolve().is_relative_to(Path(path).resolve()):
        raise ValueError(
            f"{note}: Expected the name of a checkpoint in the run directory but got "
            f"{quoted(noted, 80)}. Name the file to go on from with --resume FILE."
        )
    return str(found)


def install() -> None:
    """Put the functions above in the place of MMEngine's. Doing it twice does no harm."""
    runner.find_latest_checkpoint = find_latest_checkpoint
    register = loaders.CheckpointLoader.register_scheme
    register("", load_from_local, force=True)
    register(("http://", "https://"), load_from_http, force=True)
    register(
        ("torchvision://", "modelzoo://", "open-mmlab://", "openmmlab://", "mmcls://"),
        load_from_model_zoo,
        force=True,
    )
    register(("pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"), refuse_remote_storage, force=True)


def convert(source: Path, target: Path) -> int:
    """Unpickle a *trusted* checkpoint, running its code, and write its tensors alone.

    Args:
        source: checkpoint with a `state_dict`, or a bare state dict.
        target: file to write.

    Returns:
        Number of tensors written.

    Raises:
        FileNotFoundError: there is no such file, or no folder to write to.
        ValueError: the file holds no state dict.
    """
    if not source.is_file():
        raise FileNotFoundError(f"{source}: Expected a checkpoint but found no such file.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: Expected an existing folder but found none.")
    try:
        content = torch.load(source, map_location="cpu", weights_only=False)
    except Exception as error:  # whatever the file's own code, or a damaged one, raises
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{source}: Expected a whole checkpoint but got: {reason}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = {
        key: value for key, value in (state or {}).items() if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise ValueError(f"{source.name}: Expected a state dict but found no tensor in it.")
    with open_atomically(target) as stream:
        torch.save({"state_dict": tensors}, stream)
    return len(tensors)


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the conversion.

    Returns:
        Exit status: 0 when the file was converted.
    """
    parser = argparse.ArgumentParser(
        prog="mmglan convert-checkpoint",
        description="Convert a checkpoint that you trust into one of plain weights. "
        "Its code IS executed: do this away from patient data.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--i-trust-this-file", action="store_true", required=True)
    options = parser.parse_args(arguments)
    count = convert(options.file, options.out)
    print(f"{options.out}: {count} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
