"""The command `mmglan.commands.train`, where users of MMDetection look for it."""

import sys

from mmglan.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
