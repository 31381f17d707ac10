"""The command `mmglan.commands.collect_results`, where users of MMDetection look for it."""

import sys

from mmglan.commands.collect_results import main

if __name__ == "__main__":
    sys.exit(main())
