"""A task's module with a bug outside every function."""

TABLE = {"a": 1}["b"]
