"""Ordered, durable topics that all parties talk through; `interface` states the rules."""

from consilia.log.interface import CHUNK_BYTES, Log, Producer, Record, Transaction, chunks, follow

__all__ = ["CHUNK_BYTES", "Log", "Producer", "Record", "Transaction", "chunks", "follow"]
