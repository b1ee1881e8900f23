"""Children of one template: separate processes that end as processes do, and never outlive what they came from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.service import Service
from worker.runtime.children import Children, kill_group
from worker.runtime.template import Fork


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """Children whose template is ready."""
    opened = Children(threads=1)
    opened.offer()
    yield opened
    opened.close()


def take(children: Children) -> Fork:
    child = children.take()
    assert isinstance(child, Fork)
    return child


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_children_when_forked_then_each_leads_a_session_below_one_template_of_the_worker(children: Children):
    first, second = take(children), take(children)
    assert first.pid != second.pid
    assert [os.getsid(child.pid) for child in (first, second)] == [first.pid, second.pid]
    [template] = {psutil.Process(child.pid).ppid() for child in (first, second)}
    assert psutil.Process(template).ppid() == os.getpid()
    for child in (first, second):
        kill_group(child)


def test_offer_when_the_template_is_ready_then_has_the_devices_that_torch_finds_and_leaves_no_process(
    children: Children,
):
    code = "import torch; print(torch.cuda.is_available())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert children.offer().devices == (["cpu", "cuda"] if found == "True" else ["cpu"])
    child = take(children)
    assert [one.pid for one in psutil.Process(child.pid).parent().children()] == [child.pid]
    kill_group(child)


def test_child_when_it_cannot_read_its_brief_then_says_why_and_ends_with_0(children: Children):
    child = take(children)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.poll() is None
    child.stdin.write(b"no assignment\n")
    child.stdin.flush()
    assert [json.loads(line)["t"] for line in child.stdout] == ["log", "error"]
    assert (child.wait(), child.poll(), child.returncode) == (0, 0, 0)


def test_child_when_another_is_killed_then_goes_on(children: Children):
    first, second = take(children), take(children)
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(timeout=0.01)
    waiter = threading.Thread(target=first.wait)
    waiter.start()
    kill_group(first)
    waiter.join(10)
    assert first.returncode == -signal.SIGKILL
    assert second.poll() is None
    kill_group(second)
    kill_group(second)  # quiet when it is gone


def test_child_when_forked_then_holds_no_pipe_but_its_own(children: Children):
    first, second = take(children), take(children)
    held = [
        {os.readlink(f"/proc/{child.pid}/fd/{number}") for number in os.listdir(f"/proc/{child.pid}/fd")}
        for child in (first, second)
    ]
    theirs = [{name for name in names if name.startswith(("pipe:", "socket:"))} for names in held]
    errors = os.readlink("/proc/self/fd/2")
    assert theirs[0] & theirs[1] <= {errors}
    for child in (first, second):
        kill_group(child)


def test_template_when_killed_then_its_children_end_with_it_and_the_next_child_starts_without(children: Children):
    child = take(children)
    os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
    assert child.wait(timeout=10) == -signal.SIGKILL
    Service.wait(lambda: gone(child.pid), 10, "the child to be gone")
    other = children.take()
    assert isinstance(other, subprocess.Popen)
    kill_group(other)


def test_template_when_nobody_needs_it_then_goes_after_its_last_child():
    children = Children(threads=1, spare_idle_s=1.0)
    try:
        children.offer()
        child = take(children)
        template = psutil.Process(child.pid).ppid()
        time.sleep(2.0)
        assert child.poll() is None, "it was killed with its idle template"
        other = children.take()
        assert isinstance(other, subprocess.Popen), "an idle template was not given up"
        for each in (child, other):
            kill_group(each)
        Service.wait(lambda: not psutil.pid_exists(template), 10, "the template to be gone")
    finally:
        children.close()


def test_template_when_nobody_heard_its_offer_then_goes_all_the_same():
    """The offer of all methods is longer than a pipe holds."""
    before = set(psutil.Process().children())
    children = Children(spare_idle_s=0.5)
    try:
        Service.wait(lambda: set(psutil.Process().children()) - before, 30, "the template to be there")
        Service.wait(lambda: not set(psutil.Process().children()) - before, 60, "it to be given up")
    finally:
        children.close()
