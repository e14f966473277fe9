"""A real Kafka on this machine: for tests, for local runs, and for whoever wants to try it."""
