"""What the playground's settings ask for, as one value that its views share."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.directions.direction import Direction
from core.forward.edits import SteeringSpec
from core.text.words import KEYWORDS, words_of
from core.values import SamplingSpec
from ui.directions.residual_norm import ResidualNorm

KEYWORDS_KEY = "pg_keywords"


def keywords() -> tuple[str, ...]:
    """The words that this session counts (paper, Eq. 1): those of the settings, else wait and hmm."""
    return tuple(dict.fromkeys(words_of(st.session_state.get(KEYWORDS_KEY, "")))) or KEYWORDS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the settings block asks for, before any prompt is encoded."""

    question: str
    direction: Direction | None
    """None where none fits the loaded pair: then nothing is steered, and `program` is empty."""
    norm: ResidualNorm
    """Of the reasoning model at the layer that is steered."""
    program: tuple[SteeringSpec, ...]
    sampling: SamplingSpec
    control_seed: int
    """Of the random direction that the control lane adds."""
    dose_note: DeltaGenerator
    """Where a warning about the coefficient goes."""
