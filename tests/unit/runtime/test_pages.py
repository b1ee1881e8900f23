"""A process that gave back what importing needed holds less, and works on."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import psutil, numpy, scipy.sparse, pyarrow
from worker.runtime.pages import release_untouched
held = psutil.Process().memory_info().rss
release_untouched()
left = psutil.Process().memory_info().rss
values = numpy.linalg.svd(numpy.eye(50))[1].sum() + scipy.sparse.eye(3).sum() + pyarrow.array([1, 2]).sum().as_py()
print(held - left, float(values))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/smaps")
def test_pages_when_given_back_then_the_process_holds_less_and_works_on() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    less, values = done.stdout.split()
    assert int(less) > 10_000_000
    assert float(values) == 56.0
