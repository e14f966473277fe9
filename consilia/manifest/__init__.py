"""Job files: one FederatedJob and what it needs, in YAML, checked as a whole with line numbers."""

from consilia.api.problem import Problem
from consilia.manifest.loading import Manifest, load, problems

__all__ = ["Manifest", "Problem", "load", "problems"]
