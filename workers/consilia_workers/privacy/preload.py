"""Load now what the trainers of private jobs load late: importing this is all there is to it.

Before children are forked, so that each of them need not. Nothing here starts a thread; children of a process with
threads would hang.
"""

import dp_accounting.pld
import dp_accounting.rdp

from consilia_workers.privacy import setup

__all__ = ["dp_accounting", "setup"]
