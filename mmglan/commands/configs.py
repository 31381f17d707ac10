"""List the configs that come with the package, or find one by its name.

mmglan configs                        # all, one line each
mmglan configs cascade swin           # those with one of the words in name or description
mmglan configs --path glan_r50_fpn_160e_lesions    # where its file is
"""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.command_line import command_parser, reports_errors
from mmglan.shipped_files import describe_config, find_config, shipped_configs, shipped_folder


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the configs; 0 if there are any."""
    parser = command_parser(__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="parts of names or descriptions")
    parser.add_argument("--path", metavar="NAME", help="print the path of one config and stop")
    args = parser.parse_args(arguments)
    if args.path and args.words:
        parser.error("expected either words or --path")
    if args.path:
        print(find_config(args.path))
        return 0
    texts = {path: describe_config(path) for path in shipped_configs().values()}
    words = [word.lower() for word in args.words] or [""]
    chosen = {
        path: text
        for path, text in texts.items()
        if any(word in f"{path.stem} {text}".lower() for word in words)
    }
    if not chosen:
        raise ValueError(
            f"Expected configs about {', '.join(args.words)} but found none. See mmglan configs."
        )
    width = max(len(path.stem) for path in chosen) + 2
    group = None
    for path, text in chosen.items():
        if path.parent.name != group:
            group = path.parent.name
            print(f"{group}:")
        print(f"  {path.stem:{width}}{text}".rstrip())
    print(f"\nFiles: {shipped_folder('configs')}")
    print(f"Scripts for several GPUs and Slurm: {shipped_folder('tools')}")
    return 0
