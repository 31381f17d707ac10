"""`python -m mmglan`, the same as the console script `mmglan`."""

import sys

from mmglan.commands.console import main

if __name__ == "__main__":
    sys.exit(main())
