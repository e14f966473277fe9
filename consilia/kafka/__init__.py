"""Kafka as the log: settings, the log itself, errors a person can act on, and who may do what."""
