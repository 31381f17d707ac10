"""The command `mmglan.commands.run_table`, where users of MMDetection look for it."""

import sys

from mmglan.commands.run_table import main

if __name__ == "__main__":
    sys.exit(main())
