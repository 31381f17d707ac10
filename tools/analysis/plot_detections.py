"""The command `mmglan.commands.plot_detections`, where users of MMDetection look for it."""

import sys

from mmglan.commands.plot_detections import main

if __name__ == "__main__":
    sys.exit(main())
