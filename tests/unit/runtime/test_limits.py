"""Which end of a method means that it ran out of memory, and that limits limit."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError

from worker.contract.errors import JobError
from worker.runtime.limits import as_job_error


def cpu_allocator_error() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    return caught.value


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError("no"), "out_of_memory"),
        (cpu_allocator_error(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk_full"),
        (JobError("diverged", "the loss is not finite"), "diverged"),
        (ZeroDivisionError("division by zero"), "internal"),
    ],
)
def test_error_when_a_method_raises_it_then_gets_the_right_code(error: BaseException, code: str):
    assert as_job_error(error).code == code


def test_memory_when_a_process_wants_more_than_its_limit_then_it_hears_so():
    code = (
        "import numpy as np\nfrom worker.runtime import limits\nlimits.apply(200, cuda=False)\n"
        "np.ones(10_000_000)\n"
        "try:\n    np.ones(100_000_000)\nexcept MemoryError as error:\n    print(limits.as_job_error(error).code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "out_of_memory"


def test_tether_when_the_parent_is_gone_already_then_ends_at_once():
    code = "from worker.runtime.limits import tether\ntether(1 << 22)\nprint('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
