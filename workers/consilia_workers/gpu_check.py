"""Whether PyTorch can use the GPUs that a pod was given: `python -m consilia_workers.gpu_check COUNT`, for `helm test`.

Says what was seen, on standard output and in the pod's status, and ends with 0 if all of them compute, else with 1.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

LAST_WORDS = Path("/dev/termination-log")
"""What is written there stands in the pod's status, for whoever may not read logs."""
_GIVEN = "NVIDIA_VISIBLE_DEVICES"


def look(wanted: int) -> tuple[bool, str]:
    """Whether so many are there and compute, and what was seen."""
    there = torch.cuda.device_count()
    if there < wanted:
        return False, f"PyTorch sees {there} of {wanted} GPUs: {_why_not()}"
    try:
        names = [_computed(number) for number in range(wanted)]
    except RuntimeError as error:
        return False, f"PyTorch sees {there} GPUs, and cannot compute on them: {_first_line(error)}"
    return True, f"PyTorch {torch.__version__} computes on {wanted} of {there} GPUs: {', '.join(names)}."


def _computed(number: int) -> str:
    """The GPU's name, after it has computed something: an old driver, or a GPU too new, shows only then."""
    device = torch.device("cuda", number)
    total = torch.arange(1000, device=device, dtype=torch.float32).sum().item()
    if total != 499500:
        raise RuntimeError(f"the sum of 0 to 999 came out as {total}.")
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)"


def _why_not() -> str:
    """What the container has of a GPU, without which PyTorch cannot see one."""
    if torch.version.cuda is None:
        return "this worker's PyTorch was built without CUDA. Build the image with ACCELERATOR=cuda."
    given = os.environ.get(_GIVEN, "unset")
    devices = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*")) or ["no /dev/nvidia*"]
    seen = f"{_GIVEN} is {given}, and there is {', '.join(devices)}; it says: {_own_words()}"
    if devices == ["no /dev/nvidia*"]:
        return (
            f"{seen} The device was promised, and the node's container runtime did not put it into the container: "
            "install the NVIDIA container toolkit there, or set operator.gpuTest.runtimeClassName."
        )
    return f"{seen} The device is there, and PyTorch does not use it: see whether the node's driver is new enough."


def _own_words() -> str:
    try:
        torch.cuda.current_device()
    except (RuntimeError, AssertionError) as error:
        return f"“{_first_line(error)}”"
    return "nothing."


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def main(arguments: Sequence[str]) -> int:
    """0 if all is well."""
    well, said = look(int(arguments[0]))
    print(said)  # noqa: T201
    with suppress(OSError):  # nobody started it in a pod
        LAST_WORDS.write_text(said, encoding="utf-8")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
