"""The command `mmglan.commands.demo`, where users of MMDetection look for it."""

import sys

from mmglan.commands.demo import main

if __name__ == "__main__":
    sys.exit(main())
