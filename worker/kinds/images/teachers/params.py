"""Which teacher labels the images of a summary, and what that may cost."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Preset = Literal["quick", "standard", "paper"]


class TeacherParams(BaseModel):
    """The teacher of a method."""

    preset: Preset = Field("quick", description="What it may cost: minutes on a CPU, an hour, or what papers spend.")
    teacher: Literal["convnet", "resnet18", "vgg11", "remem"] = Field(
        "convnet",
        description="Network that is trained on the full data and gives soft labels; remem: a Vision Transformer "
        "fine-tuned for its students.",
    )
    teacher_width: int = Field(
        32,
        ge=8,
        le=512,
        multiple_of=4,
        description="Channels of the teacher's first layer; a ViT has twice as many numbers a token.",
    )
    teacher_epochs: int | None = Field(
        None, ge=1, le=1_000, description="Epochs of the teacher; null: by the preset and the number of images."
    )
    labels: Literal["soft", "logits"] = Field(
        "logits",
        description="What is learned of the teacher: probabilities, by cross-entropy, or centred logits, by squared "
        "error.",
    )
    temperature: float | None = Field(
        None,
        ge=0.1,
        le=100,
        description="Divides the teacher's logits; null: of soft labels chosen on validation images, of logits their "
        "standard deviation.",
    )
    views: int = Field(
        12,
        ge=1,
        le=1_000,
        description="Views of every image that get a label each: itself and augmented ones, which are drawn anew from "
        "a seed and take no bytes; labels take two a class and view.",
    )
