"""What operator and workers agree on: the custom resources, the log, the messages."""

__version__ = "0.2.0"
