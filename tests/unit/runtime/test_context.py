"""What a method is told and may ask: progress in parts, stops, resume points and files that survive a process."""

from __future__ import annotations

import ast
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from worker.contract.context import Context, seed_of
from worker.contract.errors import Cancelled, JobError, TimeOver
from worker.runtime.child_context import ChildContext
from worker.runtime.protocol import Assignment, Speaker


def assignment(folder: Path, **changes) -> Assignment:
    job = {"seed": 3, "degrade": 0, "input_hash": "h"}
    return Assignment(**{"job": job, "folder": str(folder), "checkpoint_every_s": 0.0, **changes})


def heard(pipe: io.BytesIO, kind: str = "") -> list[dict]:
    messages = [json.loads(line) for line in pipe.getvalue().splitlines()]
    return [message for message in messages if not kind or message["t"] == kind]


def child(folder: Path, pipe: io.BytesIO | None = None, **changes) -> ChildContext:
    return ChildContext(assignment(folder, **changes), Speaker(pipe or io.BytesIO()), "cpu")


def test_parts_wherever_work_is_cut_into_them_then_none_is_beyond_the_last():
    beyond: list[str] = []
    for file in (Path(__file__).parents[3] / "worker").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if ".part(" in text else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "part":
                said = [
                    one.value for one in node.args[1:3] if isinstance(one, ast.Constant) and isinstance(one.value, int)
                ]
                if len(said) == 2 and said[0] >= said[1]:  # a job would be done to more than all of it
                    beyond.append(f"{file.name}:{node.lineno} {ast.unparse(node)}")
    assert not beyond


def test_progress_when_stages_and_parts_nest_then_the_fraction_only_grows(tmp_path: Path):
    pipe = io.BytesIO()
    ctx = child(tmp_path, pipe)
    ctx.stage("load")
    ctx.stage("run")
    for step in range(1, 4):
        ctx.progress(step, 3, phase="distil")
    ctx.progress(0, 3, phase="again")
    ctx.stage("evaluate")
    for step in range(2):
        with ctx.part(f"learner-{step}", step, 2, label=f"judge {step}") as part:
            part.progress(1, 2, phase="inner")
            with part.part("deeper", 1, 2) as deeper:
                deeper.progress(1, 2)
    fractions = [message["fraction"] for message in heard(pipe)]
    assert fractions == sorted(fractions)
    assert heard(pipe)[-1]["phase"] == "deeper"
    assert heard(pipe)[-3]["phase"] == "judge 1"
    assert fractions[-1] == pytest.approx(0.65 + 0.32 * 0.875)


def test_progress_when_a_stop_was_asked_for_then_raises_in_parts_too():
    ctx = Context()
    ctx.progress(1, 2)
    with ctx.part("one") as part:
        part.stop()
        with pytest.raises(Cancelled):
            part.progress(2, 2)
    assert ctx.cancelled


def test_part_when_named_then_its_seed_follows_from_the_names_alone():
    first, second = Context(seed=5), Context(seed=5)
    with first.part("teacher") as a, a.part("student 1") as inner:
        pass
    with second.part("student 9"), second.part("teacher", 3, 7) as b, b.part("student 1") as again:
        pass
    assert inner.seed == again.seed == seed_of(seed_of(5, "teacher"), "student 1")
    assert inner.seed not in (a.seed, 5)
    with first.part("same draws", seed=5) as same:
        np.testing.assert_array_equal(same.rng.random(3), first.rng.random(3))


def test_part_when_it_warns_then_the_job_hears_it_once(tmp_path: Path):
    pipe = io.BytesIO()
    ctx = child(tmp_path, pipe)
    with ctx.part("a") as part, part.part("b") as inner:
        inner.warn("careful")
        inner.finish({}, {})
    assert ctx.warnings == part.warnings == ["careful"]
    assert child(tmp_path, checkpoint=heard(pipe, "checkpoint")[-1]["path"]).warnings == ["careful"]
    assert [message["text"] for message in heard(pipe, "warning")] == ["careful"]


def test_checkpoint_when_another_process_goes_on_then_it_finds_the_same_arrays_and_state(tmp_path: Path):
    pipe = io.BytesIO()
    first = child(tmp_path, pipe)
    first.checkpoint(7, {"logits": torch.arange(6.0).reshape(2, 3), "count": np.int64(4)}, {"best": 0.1})
    saved = heard(pipe)[-1]
    assert saved["step"] == 7
    second = child(tmp_path, checkpoint=saved["path"])
    point = second.restore()
    assert point is not None
    assert (point.step, point.state, point.done) == (7, {"best": 0.1}, False)
    np.testing.assert_array_equal(point.arrays["logits"], np.arange(6.0).reshape(2, 3))


def test_checkpoint_when_parts_have_some_then_each_finds_its_own(tmp_path: Path):
    pipe = io.BytesIO()
    ctx = child(tmp_path, pipe)
    with ctx.part("teacher") as teacher:
        teacher.checkpoint(3, {"w": np.ones(2)}, {"epoch": 3})
        with teacher.part("inner") as inner:
            inner.checkpoint(1, {"w": np.zeros(1)}, {})
        teacher.finish({"w": np.full(2, 5.0)}, {"epoch": 4})
    with ctx.part("student") as student:
        student.checkpoint(1, {"w": np.full(3, 2.0)}, {})
    again = child(tmp_path, checkpoint=heard(pipe, "checkpoint")[-1]["path"])
    assert again.restore() is None
    with again.part("teacher") as teacher:
        point = teacher.restore()
        assert point is not None
        assert (point.done, point.state) == (True, {"epoch": 4})
        np.testing.assert_array_equal(point.arrays["w"], [5.0, 5.0])
        with teacher.part("inner") as inner:
            assert inner.restore() is None  # what is done needs no resume points of its parts
    with again.part("student") as student:
        point = student.restore()
        assert point is not None
        assert not point.done
        np.testing.assert_array_equal(point.arrays["w"], [2.0, 2.0, 2.0])


def test_checkpoint_when_saved_by_parts_then_numbers_never_go_back(tmp_path: Path):
    pipe = io.BytesIO()
    ctx = child(tmp_path, pipe)
    ctx.checkpoint(40, {"a": np.ones(2)}, {})
    with ctx.part("p") as part:
        part.checkpoint(1, {"a": np.ones(2)}, {})
    ctx.checkpoint(60, {"a": np.ones(2)}, {})
    assert [message["step"] for message in heard(pipe, "checkpoint")] == [40, 41, 60]


def test_checkpoint_when_it_is_of_other_work_then_it_is_not_used(tmp_path: Path):
    pipe = io.BytesIO()
    child(tmp_path, pipe).checkpoint(1, {"a": np.ones(2)}, {})
    other = {"seed": 3, "degrade": 0, "input_hash": "other"}
    assert child(tmp_path, checkpoint=heard(pipe)[-1]["path"], job=other).restore() is None


def test_checkpoint_when_none_is_due_then_writes_only_once_a_stop_was_asked_for(tmp_path: Path):
    pipe = io.BytesIO()
    ctx = child(tmp_path, pipe, checkpoint_every_s=60.0)
    ctx.checkpoint(1, {"a": np.ones(2)}, {})
    assert heard(pipe) == []
    ctx.stop()
    ctx.checkpoint(2, {"a": np.ones(2)}, {})
    assert [message["step"] for message in heard(pipe)] == [2]


def test_finish_when_no_checkpoint_is_due_then_the_next_one_has_it(tmp_path: Path):
    pipe = io.BytesIO()
    ctx = child(tmp_path, pipe, checkpoint_every_s=60.0)
    with ctx.part("scores", seed=1) as part:
        part.finish({"values": np.arange(3.0)}, {"learner": "ease"})
    assert heard(pipe, "checkpoint") == []
    ctx.save_now()
    again = child(tmp_path, checkpoint=heard(pipe)[-1]["path"])
    with again.part("scores", seed=1) as part:
        point = part.restore()
    assert point is not None
    np.testing.assert_array_equal(point.arrays["values"], np.arange(3.0))


@pytest.mark.parametrize("path", ["experts", "teacher/experts"])
def test_keep_when_an_attempt_is_resumed_then_goes_on_behind_what_is_there(tmp_path: Path, path: str):
    pipe = io.BytesIO()

    def kept(ctx: Context):
        if "/" not in path:
            return ctx.keep("experts")
        with ctx.part("teacher") as part:
            return part.keep("experts")

    before = kept(child(tmp_path / "1", pipe))
    for number in range(2):
        before.append({"weights": torch.full((2,), float(number)), "step": np.int64(number)})
    named = [Path(message["path"]) for message in heard(pipe, "keep")]
    assert [file.relative_to(tmp_path / "1" / "keep").as_posix() for file in named] == [
        f"{path}/{number:08d}.safetensors" for number in range(2)
    ]
    shutil.copytree(tmp_path / "1" / "keep", tmp_path / "2" / "keep")  # as the supervisor lays them out again
    after = kept(child(tmp_path / "2"))
    assert len(after) == 2
    after.append({"weights": np.full(2, 2.0), "step": np.int64(2)})
    assert [int(entry["step"]) for entry in after] == [0, 1, 2]
    np.testing.assert_array_equal(list(after)[1]["weights"], [1.0, 1.0])


def test_keep_when_a_file_is_appended_then_its_bytes_are_there_in_order(tmp_path: Path):
    ctx = Context()
    (tmp_path / "a.json").write_text("{}")
    ctx.keep("product").append_file(tmp_path / "a.json")
    ctx.keep("product").append({"x": np.ones(1)})
    assert [file.name for file in ctx.keep("product").files()] == ["00000000.json", "00000001.safetensors"]
    assert ctx.keep("product").files()[0].read_text() == "{}"
    assert len(list(ctx.keep("product"))) == 1


def test_recall_when_an_earlier_job_remembered_then_says_which(tmp_path: Path):
    first = child(tmp_path / "1")
    with first.part("learner") as part:
        part.remember("key", {"scores": np.arange(4.0)}, {"chosen": {"ridge": 5.0}})
    first.write_remembered(tmp_path / "out")
    (tmp_path / "2" / "figures").mkdir(parents=True)
    shutil.copyfile(tmp_path / "out" / "figures.safetensors", tmp_path / "2" / "figures" / "job_1.safetensors")
    second = child(tmp_path / "2")
    with second.part("other") as part:
        found = part.recall("key")
        assert part.recall("no such key") is None
    assert found is not None
    assert (found.job, found.state) == ("job_1", {"chosen": {"ridge": 5.0}})
    np.testing.assert_array_equal(found.arrays["scores"], np.arange(4.0))
    second.write_remembered(tmp_path / "out2")
    assert not (tmp_path / "out2").exists()  # what was recalled need not be remembered again


def test_time_limit_when_a_method_does_not_mind_it_then_the_job_times_out(tmp_path: Path):
    ctx = child(tmp_path, time_s=1e-9)
    ctx.stage("run")
    with pytest.raises(JobError) as caught:
        ctx.progress(1, 2)
    assert caught.value.code == "timeout"


def test_time_limit_when_a_method_minds_it_then_it_may_return_its_best(tmp_path: Path):
    ctx = child(tmp_path, time_s=1e-9)
    ctx.stage("run")
    assert ctx.out_of_time()
    ctx.progress(1, 2)


def test_time_limit_when_judging_passes_its_own_then_only_judging_ends(tmp_path: Path):
    ctx = child(tmp_path, evaluate_s=1e-9)
    ctx.stage("run")
    ctx.progress(1, 2)
    ctx.stage("evaluate")
    with pytest.raises(TimeOver), ctx.part("learner"):
        pass
    ctx.stage("report")


def test_time_limit_when_an_attempt_is_resumed_then_what_was_spent_counts(tmp_path: Path):
    pipe = io.BytesIO()
    first = child(tmp_path, pipe)
    first.stage("run")
    first.checkpoint(1, {}, {})
    second = child(tmp_path, checkpoint=heard(pipe, "checkpoint")[-1]["path"])
    assert second.spent_s > 0
