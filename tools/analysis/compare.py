"""The command `mmglan.commands.compare`, where users of MMDetection look for it."""

import sys

from mmglan.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
