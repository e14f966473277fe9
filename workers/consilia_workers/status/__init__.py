"""What aggregator and trainers tell the cluster: /progress, /metrics and /healthz on their status port."""
