"""A real Kafka on this machine: for tests, for `consilia run --kafka embedded`, and for whoever wants to try it."""
