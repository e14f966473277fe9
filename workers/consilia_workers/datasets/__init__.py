"""The data sets that the ready-made tasks learn from: what they are, where they lie, how to get and verify them."""

from consilia_workers.datasets.catalog import CATALOG, dataset_path, sites

__all__ = ["CATALOG", "dataset_path", "sites"]
