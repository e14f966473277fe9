"""How a round's updates become the next global model: `choose` one by the job's `spec.aggregation`."""
