"""The command `mmglan.commands.test`, where users of MMDetection look for it."""

import sys

from mmglan.commands.test import main

if __name__ == "__main__":
    sys.exit(main())
