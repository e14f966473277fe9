"""A hospital's ledger: the append-only record of the privacy that was spent on its data, by all jobs, for good."""
