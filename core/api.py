"""The names that people's scripts use, and nothing else: wherever the code moves, they stay importable from here.

The README shows them at work; exported scripts import only from here. Importing it imports torch.
"""

from __future__ import annotations

from core.attribution.values import (
    Attribution,
    AttributionSpec,
    Divergence,
    DivergenceSpec,
    Gradients,
    GradientSpec,
    Interventions,
    InterventionSpec,
    TargetText,
)
from core.attribution.work import read_text
from core.directions.direction import Direction
from core.directions.folder import direction_bytes, read_direction_bytes
from core.experiments.plans import plan_json, read_outcome, read_plan
from core.experiments.presets import paper_plan
from core.experiments.values import Outcome, Plan, Point
from core.experiments.verdicts import ticks
from core.extraction.contrast import contrast
from core.extraction.controls import control_set, random_controls, shuffled_events, sign_flip
from core.extraction.moments import Moments, MomentsSpec
from core.extraction.passes import record_moments
from core.extraction.values import DirectionSet, ExtractionSpec
from core.extraction.work import extract
from core.forward.acceptance import load_model
from core.forward.edits import SteeringSpec
from core.forward.scoring import score_completions
from core.jobs import finish
from core.models.loaded import LoadedModel, encode_prompt, encode_text, pieces
from core.runs.cells import DoseCell, DoseCellSpec
from core.runs.generation import stream_completions
from core.runs.lanes import generate_lanes
from core.runs.values import Generation, GenerationSpec
from core.runs.work import run_cells
from core.text.words import measure_text
from core.traces.events import digest_of
from core.traces.records import read_traces
from core.values import PAPER_WINDOW, ModelSpec, Part, Positions, Prompt, SamplingSpec, Trace, Window

__all__ = [
    "PAPER_WINDOW",
    "Attribution",
    "AttributionSpec",
    "Direction",
    "DirectionSet",
    "Divergence",
    "DivergenceSpec",
    "DoseCell",
    "DoseCellSpec",
    "ExtractionSpec",
    "Generation",
    "GenerationSpec",
    "GradientSpec",
    "Gradients",
    "InterventionSpec",
    "Interventions",
    "LoadedModel",
    "ModelSpec",
    "Moments",
    "MomentsSpec",
    "Outcome",
    "Part",
    "Plan",
    "Point",
    "Positions",
    "Prompt",
    "SamplingSpec",
    "SteeringSpec",
    "TargetText",
    "Trace",
    "Window",
    "contrast",
    "control_set",
    "digest_of",
    "direction_bytes",
    "encode_prompt",
    "encode_text",
    "extract",
    "finish",
    "generate_lanes",
    "load_model",
    "measure_text",
    "paper_plan",
    "pieces",
    "plan_json",
    "random_controls",
    "read_direction_bytes",
    "read_outcome",
    "read_plan",
    "read_text",
    "read_traces",
    "record_moments",
    "run_cells",
    "score_completions",
    "shuffled_events",
    "sign_flip",
    "stream_completions",
    "ticks",
]
