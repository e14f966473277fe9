"""How a hospital trains: batches, optimizers, precision, metrics."""
