"""`consilia run`: a job's aggregator and hospitals as processes on this machine, on one SQLite log."""
