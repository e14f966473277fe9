"""The aggregator's parts: receiving, deciding, combining, recovering. The spine is `consilia_workers.aggregator`."""
