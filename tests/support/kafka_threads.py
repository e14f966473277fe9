"""The threads of kafka-python's clients: one that is left behind tries for ever to reach its broker."""

import threading


def io_threads() -> set[threading.Thread]:
    """Those that run now."""
    return {each for each in threading.enumerate() if each.name.startswith("kafka-io-")}
