"""What a job's parties talk through: a Kafka that the operator runs, one that Strimzi runs, or somebody else's."""
