"""What a method is told and may ask: progress in shares, stops, checkpoints that survive a process."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from worker.runtime.child_context import ChildContext
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.runtime.protocol import Assignment, Speaker


def assignment(folder: Path, **changes) -> Assignment:
    job = {"seed": 3, "degrade": 0, "input_hash": "h"}
    return Assignment(**{"job": job, "folder": str(folder), "checkpoint_every_s": 0.0, **changes})


def heard(pipe: io.BytesIO) -> list[dict]:
    return [json.loads(line) for line in pipe.getvalue().splitlines()]


def test_progress_when_stages_and_shares_nest_then_the_fraction_only_grows(tmp_path: Path):
    pipe = io.BytesIO()
    ctx = ChildContext(assignment(tmp_path), Speaker(pipe), "cpu")
    ctx.stage("load")
    ctx.stage("run")
    for step in range(1, 4):
        ctx.progress(step, 3, phase="distil")
    ctx.progress(0, 3, phase="again")
    ctx.stage("evaluate")
    for step in range(2):
        with ctx.share(step, 2, phase=f"judge {step}"):
            ctx.progress(1, 2, phase="inner")
    fractions = [message["fraction"] for message in heard(pipe)]
    assert fractions == sorted(fractions)
    assert heard(pipe)[-1]["phase"] == "judge 1"
    assert fractions[-1] == pytest.approx(0.65 + 0.32 * 0.75)


def test_progress_when_a_stop_was_asked_for_then_raises():
    ctx = Context()
    ctx.progress(1, 2)
    ctx.stop()
    with pytest.raises(Cancelled):
        ctx.progress(2, 2)


def test_checkpoint_when_another_process_goes_on_then_it_finds_the_same_arrays_and_state(tmp_path: Path):
    pipe = io.BytesIO()
    first = ChildContext(assignment(tmp_path), Speaker(pipe), "cpu")
    first.checkpoint(7, {"logits": torch.arange(6.0).reshape(2, 3), "count": np.int64(4)}, {"best": 0.1})
    saved = heard(pipe)[-1]
    assert saved["step"] == 7
    second = ChildContext(assignment(tmp_path, checkpoint=saved["path"]), Speaker(io.BytesIO()), "cpu")
    point = second.restore()
    assert point is not None
    assert (point.step, point.state) == (7, {"best": 0.1})
    np.testing.assert_array_equal(point.arrays["logits"], np.arange(6.0).reshape(2, 3))
    assert second.spent_s > 0


def test_checkpoint_when_it_is_of_other_work_then_it_is_not_used(tmp_path: Path):
    pipe = io.BytesIO()
    ChildContext(assignment(tmp_path), Speaker(pipe), "cpu").checkpoint(1, {"a": np.ones(2)}, {})
    other = assignment(tmp_path, checkpoint=heard(pipe)[-1]["path"], job={"seed": 3, "degrade": 0, "input_hash": "other"})
    assert ChildContext(other, Speaker(io.BytesIO()), "cpu").restore() is None


def test_checkpoint_when_none_is_due_then_writes_only_once_a_stop_was_asked_for(tmp_path: Path):
    pipe = io.BytesIO()
    ctx = ChildContext(assignment(tmp_path, checkpoint_every_s=60.0), Speaker(pipe), "cpu")
    ctx.checkpoint(1, {"a": np.ones(2)}, {})
    assert heard(pipe) == []
    ctx.stop()
    ctx.checkpoint(2, {"a": np.ones(2)}, {})
    assert [message["step"] for message in heard(pipe)] == [2]


def test_time_limit_when_a_method_does_not_mind_it_then_the_job_times_out(tmp_path: Path):
    ctx = ChildContext(assignment(tmp_path, time_s=1e-9), Speaker(io.BytesIO()), "cpu")
    with pytest.raises(JobError) as caught:
        ctx.progress(1, 2)
    assert caught.value.code == "timeout"


def test_time_limit_when_a_method_minds_it_then_it_may_return_its_best(tmp_path: Path):
    ctx = ChildContext(assignment(tmp_path, time_s=1e-9), Speaker(io.BytesIO()), "cpu")
    assert ctx.out_of_time()
    ctx.progress(1, 2)
