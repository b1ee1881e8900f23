"""Which end of a method means that it ran out of memory, and that limits limit."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from worker.contract.errors import JobError
from worker.runtime.limits import as_job_error, private_bytes


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


def limited(memory_mb: int, code: str) -> str:
    """What a process under a limit prints."""
    begin = (
        f"import mmap\nimport numpy as np\nfrom worker.runtime import limits\nlimits.apply({memory_mb}, cuda=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_memory_when_a_larger_file_is_mapped_for_reading_then_it_does_not_count(tmp_path: Path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2 << 30)
        file.seek((2 << 30) - 1)
        file.write(b"\7")
    code = (
        f"with open({str(path)!r}, 'rb') as file:\n"
        "    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        f"rows = np.memmap({str(path)!r}, np.uint8, mode='r')\n"
        "print(mapped[-1], rows[-1], rows[:100_000_000].sum())\n"
    )
    assert limited(1024, code) == "7 7 0"


def test_memory_when_as_much_as_the_limit_is_allocated_then_memory_error():
    code = (
        "try:\n    np.ones(1 << 30, np.uint8)\nexcept MemoryError:\n    print('refused')\n"
        "print(len(np.ones(500_000_000, np.uint8)))\n"
    )
    assert limited(1024, code).split() == ["refused", "500000000"]


def test_private_bytes_when_pages_of_a_file_are_resident_then_only_own_memory_counts(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(bytes(200_000_000))
    code = (
        "import os\nbefore = limits.private_bytes(os.getpid())\n"
        f"rows = np.memmap({str(path)!r}, np.uint8, mode='r')\nrows.sum()\n"
        "mapped = limits.private_bytes(os.getpid())\nheld = np.ones(100_000_000, np.uint8)\n"
        "print(mapped - before < 20_000_000, limits.private_bytes(os.getpid()) - mapped > 95_000_000)\n"
    )
    assert limited(0, code) == "True True"
    assert private_bytes(1 << 22) == 0


def test_tether_when_the_parent_is_gone_already_then_ends_at_once():
    code = "from worker.runtime.limits import tether\ntether(1 << 22)\nprint('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


def test_private_bytes_of_a_session_when_a_child_of_it_takes_memory_then_it_counts():
    code = (
        "import os, subprocess, sys\nos.setsid()\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'import sys; held = bytearray(b\"x\") * 150_000_000; print(1, flush=True); sys.stdin.read()'], "
        "stdin=subprocess.PIPE, stdout=subprocess.PIPE)\nchild.stdout.read(1)\n"
        "print(limits.private_bytes_of_session(os.getpid()) - limits.private_bytes(os.getpid()) > 150_000_000)\n"
    )
    assert limited(0, code) == "True"
