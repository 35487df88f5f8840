"""What the playground's settings ask for, as one value that its views share."""

from __future__ import annotations

from dataclasses import dataclass

from streamlit.delta_generator import DeltaGenerator

from core.directions import Direction
from core.runs import SteeringSpec
from core.values import SamplingSpec


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the settings block asks for, before any prompt is encoded."""

    question: str
    direction: Direction
    program: tuple[SteeringSpec, ...]
    sampling: SamplingSpec
    dose_note: DeltaGenerator
    """Where a warning about the coefficient goes."""
