"""The command `mmglan.commands.sweep`, where users of MMDetection look for it."""

import sys

from mmglan.commands.sweep import main

if __name__ == "__main__":
    sys.exit(main())
