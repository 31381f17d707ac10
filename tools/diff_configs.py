"""The command `mmglan.commands.diff_configs`, where users of MMDetection look for it."""

import sys

from mmglan.commands.diff_configs import main

if __name__ == "__main__":
    sys.exit(main())
