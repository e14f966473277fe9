"""The memory of this process's GPUs. Where PyTorch uses none there is no series, rather than a zero."""

import sys
from collections.abc import Iterable, Iterator
from types import ModuleType

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class GpuMemory(Collector):
    """Looked up when it is asked for. Never loads PyTorch, and never wakes a GPU that the training did not."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers itself."""
        self._owner = ("", "")
        registry.register(self)

    def begin(self, job: str, hospital: str) -> None:
        """Whose GPUs they are."""
        self._owner = (job, hospital)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metric without series."""
        return [self._family()]

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "consilia_gpu_memory_bytes",
            "Memory of the GPUs that PyTorch uses here: allocated by tensors, reserved for them, and total.",
            labels=["job", "hospital", "device", "kind"],
        )

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metric as it is now."""
        family = self._family()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            for device, kind, size in _sizes(torch):
                family.add_metric([*self._owner, device, kind], size)
        return [family]


def _sizes(torch: ModuleType) -> Iterator[tuple[str, str, int]]:
    for index in range(torch.cuda.device_count()):
        yield str(index), "allocated", torch.cuda.memory_allocated(index)
        yield str(index), "reserved", torch.cuda.memory_reserved(index)
        yield str(index), "total", torch.cuda.get_device_properties(index).total_memory
