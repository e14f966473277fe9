"""`python -m consilia_workers`: the processes of a job; see `programs`."""

import sys

from consilia_workers.programs import main

sys.exit(main(sys.argv[1:]))
