"""Aggregator, trainer, the local runner and the command line."""
