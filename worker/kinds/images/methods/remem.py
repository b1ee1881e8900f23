"""Whether tuning a teacher as ReMem does makes small students better, on this dataset: a job with a report of its own.

Dong, Gui, Sachdeva et al., arXiv:2506.23041: students learn little from strong teachers whose answers say little of the
image, and two changes of fine-tuning keep more of it: sharpness-aware minimisation, and smaller weights of the upper
MLP blocks, which matter where images are few or classes unequal. Part of the training images pretrains a small Vision
Transformer, which is then fine-tuned on a slice of the others in every way that is asked for. O(ways x images x epochs)
passes of the ViT, twice that with sharpness-aware minimisation.

The paper's code is not published: see `worker.kinds.images.remem.tuning` for what is ours. As a teacher for the labels
of a summary, ReMem is the `teacher` of softlabel, rded and sre2l.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.evidence.findings import Findings
from worker.kinds.images.dataset import Images
from worker.kinds.images.teachers.cost import by_preset
from worker.kinds.images.teachers.params import Preset
from worker.kinds.images.uploaded_network import TEACHER

_VIEWS = {"quick": 40_000, "standard": 400_000, "paper": 4_000_000}  # images that pretraining sees
_EPOCHS = {"quick": 8, "standard": 60, "paper": 300}


class ReMemParams(BaseModel):
    """Parameters of `remem`."""

    model_config = ConfigDict(extra="forbid")

    preset: Preset = Field("quick", description="How long everything is trained: minutes on a CPU, an hour, or a day.")
    pretrain_share: float = Field(
        0.5, ge=0.05, le=0.95, description="Share of the training images that pretrain the ViT."
    )
    tune_images: int = Field(
        2_000, ge=0, le=10_000_000, description="Of the others, images for fine-tuning and for students; 0 takes all."
    )
    imbalance: float = Field(
        1.0, ge=1, le=1_000, description="How much rarer the last class is than the first among them."
    )
    rhos: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [0.0, 0.05], min_length=1, max_length=5, description="Radii of sharpness-aware minimisation; 0 is plain."
    )
    scales: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [1.0, 0.25], min_length=1, max_length=6, description="What upper MLP blocks are multiplied with; 1 is plain."
    )
    top: int = Field(0, ge=0, le=48, description="How many upper blocks; 0: a quarter of them.")
    width: int = Field(64, ge=16, le=1024, multiple_of=16, description="Numbers of a token of the ViT.")
    depth: int = Field(4, ge=1, le=48, description="Blocks of the ViT.")
    patch: int = Field(0, ge=0, le=64, description="Side of a patch in pixels; 0: one that leaves 8 a side or fewer.")
    student_width: int = Field(32, ge=8, le=512, description="Channels of the student, a ConvNet.")
    share: float = Field(0.9, ge=0, le=1, description="Weight of the teacher's answers in the student's loss.")
    temperature: float = Field(4.0, ge=0.1, le=100, description="Softens the answers of teacher and student.")
    seeds: int = Field(3, ge=1, le=20, description="Students of every sort.")


@method(
    kind="images",
    task="compare",
    name="remem",
    version=1,
    paper="arXiv:2506.23041",
    device="any",
    memory_mb=3072,
    inputs=(TEACHER,),
    cost=Cost(
        seconds=(
            Term(10.0),
            *by_preset(0.4, 4.0, 40.0, "values"),  # with the usual network, four ways and three seeds
        )
    ),
)
def remem(data: Images, params: ReMemParams, ctx: Context) -> Findings:
    """Whether teachers tuned as ReMem does make better students than plainly tuned ones, on this dataset."""
    from worker.kinds.images.labelling import given_state  # torch, which listing methods does not need
    from worker.kinds.images.remem.comparison import compare, slices
    from worker.kinds.images.remem.report import findings
    from worker.kinds.images.remem.students import StudentRecipe
    from worker.kinds.images.remem.tuning import Candidate, TuningRecipe

    parts = slices(data, params.pretrain_share, params.tune_images, params.imbalance, ctx.seed)
    grid = [Candidate(rho, scale) for scale in params.scales for rho in params.rhos]
    ways = (Candidate(), *(one for one in grid if not one.plain))
    if len(ways) == 1:
        ways = (*ways, Candidate(0.05, 0.25))  # plain alone would be compared with nothing
    recipe = TuningRecipe(
        params.width,
        params.depth,
        heads=max(1, params.width // 16),
        patch=params.patch,
        pretraining=_epochs(params.preset, 1, len(parts.pretraining)),
        tuning=_epochs(params.preset, 1 / 4, len(parts.tuning)),
        top=params.top,
        candidates=ways,
        student=StudentRecipe(16, _epochs(params.preset, 1 / 8, len(parts.tuning)), params.share, params.temperature),
    )
    student = StudentRecipe(
        params.student_width, _epochs(params.preset, 1 / 2, len(parts.tuning)), params.share, params.temperature
    )
    found = compare(data, parts, recipe, student, params.seeds, ctx, given_state(ctx))
    settings = params.model_dump() | {"ways": [one.label for one in ways]}
    return findings(data, found, settings, ctx)


def _epochs(preset: Preset, share: float, images: int) -> int:
    """Epochs in which this share of the preset's images is seen, two at least."""
    return min(_EPOCHS[preset], max(2, round(share * _VIEWS[preset] / max(1, images))))
