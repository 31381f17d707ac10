"""The command `mmglan.commands.evaluate`, where users of MMDetection look for it."""

import sys

from mmglan.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
