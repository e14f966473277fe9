"""A task module that is a script: importing it ends the process."""

import sys

sys.exit(3)
