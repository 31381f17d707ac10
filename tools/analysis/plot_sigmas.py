"""The command `mmglan.commands.plot_sigmas`, where users of MMDetection look for it."""

import sys

from mmglan.commands.plot_sigmas import main

if __name__ == "__main__":
    sys.exit(main())
