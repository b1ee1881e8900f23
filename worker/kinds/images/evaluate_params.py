"""How a summary of images is judged."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.choices import with_choices
from worker.contract.learner import learners_of
from worker.kinds.images.baselines import PICKS
from worker.kinds.images.predictor import Training

KIND = "images"


class EvaluateParams(BaseModel):
    """How a summary of images is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[str] = Field(
        [], min_length=1, description="Models trained on every set; the floor that they have to beat always is."
    )
    baselines: list[str] = Field([], description="Cheap picks of the same number of images of every class.")
    seeds: int = Field(2, ge=1, le=20, description="Trainings of every network on every set, each with its own seed.")
    steps: int = Field(300, ge=1, le=100_000, description="Steps of a training, at least.")
    epochs: int = Field(5, ge=1, le=3_000, description="Epochs of a training, at least: what full data gets.")
    width: int = Field(
        0, ge=0, le=512, description="Channels of a convolution; 0: 128 on a GPU and 32 without, as time allows."
    )
    flip: Literal["auto", "yes", "no"] = Field(
        "auto", description="Whether a mirrored image is of the same class; auto: of colour images, not of grey ones."
    )
    augment: Literal["tuned", "yes", "no"] = Field(
        "tuned",
        description="Whether networks are trained with augmented images: chosen on validation for every set, always, "
        "or never.",
    )
    tune_images: int = Field(5_000, ge=0, description="Validation images that settings are chosen on; 0 takes all.")
    test_images: int = Field(0, ge=0, description="Test images to measure on; 0 takes all.")
    draws: int = Field(3, ge=1, le=20, description="How often random images are drawn.")
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")

    def training(self, channels: int) -> Training:
        """How networks are trained."""
        flips = channels > 1 if self.flip == "auto" else self.flip == "yes"
        return Training(self.steps, self.epochs, self.width, flips)


@cache
def evaluate_params() -> type[EvaluateParams]:
    """`EvaluateParams` with the learners and the cheap picks there are."""
    known = learners_of(KIND)
    usual = [name for name, one in known.items() if one.usual]
    return with_choices(EvaluateParams, learners=(known, usual), baselines=(PICKS, PICKS))
