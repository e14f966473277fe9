"""Ready-made tasks on real hospital data."""
