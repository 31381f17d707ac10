"""The command `mmglan.commands.report`, where users of MMDetection look for it."""

import sys

from mmglan.commands.report import main

if __name__ == "__main__":
    sys.exit(main())
