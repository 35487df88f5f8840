"""What the models can do, and what the directions say when they are read instead of added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from core.attribution.one_text import centred_projection
from core.attribution.values import LensSpec
from core.directions.direction import Direction
from core.extraction.contrast import contrast
from core.forward.hooks import run_decoder
from core.models.loaded import encode_text
from core.models.pair import ROLES, Role
from core.runs.cells import DoseCell
from core.statistics import wilson
from core.text.words import LENS_WORDS
from core.traces.events import BACKTRACKING, find_events
from core.values import SamplingSpec, Trace, Window
from demo.completions import find_answer, thinking_of, turning_tokens
from demo.sentence_parser import parse_trace
from demo.study import Study, percentile_ratio, plain_prompt, summary

LEADS = (1, 2, 4, 6, 8, 10, 13, 16, 20, 25)
STORY_OPENINGS = (
    "<|bos|>It was raining.",
    "<|bos|>The sun was shining.",
    "<|bos|>It was cold outside.",
    "<|bos|>It was early.",
)
STORIES = 64


def accuracy(study: Study) -> list[dict[str, Any]]:
    """Right answers, traces that turn back, and keywords: base, reasoner, and reasoner with turning words banned."""
    free = SamplingSpec(max_new_tokens=study.sizes.whole_tokens, temperature=0.7)
    banned = replace(free, banned=turning_tokens(study.folder / "reasoner"))
    asked: list[tuple[str, Role, SamplingSpec]] = [
        ("base", "base", free),
        ("reasoner", "reasoner", free),
        ("reasoner, turning words banned", "reasoner", banned),
    ]
    cells = study.run(study.cell(role, None, 0.0, which="accuracy", sampling=spec) for _, role, spec in asked)
    answers = [question["answer"] for question in study.questions("accuracy")]
    return [{"condition": name} | scored(cell, answers) for (name, _, _), cell in zip(asked, cells, strict=True)]


def scored(cell: DoseCell, answers: Sequence[str]) -> dict[str, Any]:
    """Shares with 95% Wilson intervals, beside the numbers of the cell."""
    right = sum(find_answer(text) == answer for text, answer in zip(cell.texts, answers, strict=True))
    turning = sum(
        any(part.label == BACKTRACKING for part in parse_trace(thinking_of(text)).parts) for text in cell.texts
    )
    n = len(answers)
    shares = {"right": wilson(right, n), "turning": wilson(turning, n)}
    return summary(cell) | {
        name: [round(100 * v, 2) for v in (share.mean, share.low, share.high)] for name, share in shares.items()
    }


def ordinary_text(study: Study) -> dict[str, Any]:
    """How often the base model says the keywords in everyday stories."""
    prompts = tuple(plain_prompt(study, STORY_OPENINGS[i % len(STORY_OPENINGS)]) for i in range(STORIES))
    sampling = SamplingSpec(max_new_tokens=study.sizes.steered_tokens, temperature=0.7)
    return summary(study.run([study.cell("base", None, 0.0, which="choose", prompts=prompts, sampling=sampling)])[0])


def cosines(study: Study, windows: Sequence[Window]) -> list[dict[str, Any]]:
    """Cosine of the base- and the reasoning-derived direction by layer."""
    base, reasoner = study.directions("base"), study.directions("reasoner")
    return [
        {
            "window": [window.start, window.stop],
            "by_layer": [round(base.at(i, window).cosine(reasoner.at(i, window)), 4) for i in study.layers],
        }
        for window in windows
    ]


def lens_scores(study: Study, window: Window) -> list[dict[str, Any]]:
    """Logit-lens score (Eq. 2) and rank of the best keyword item, by layer, source and unembedding."""
    rows = []
    for source in ROLES:
        for head in ROLES:
            facts = study.bench.pair.facts(head)
            for layer in study.layers:
                spec = LensSpec(
                    model=facts.spec,
                    fingerprint=facts.fingerprint,
                    direction=study.direction(source, layer, window),
                    words=LENS_WORDS,
                )
                lens = study.wait(study.bench.read_direction(spec))
                row = {"source": source, "head": head, "layer": layer}
                rows.append(row | {"score": round(lens.score, 5), "rank": lens.best_rank})
    return rows


def lead_auc(study: Study, role: Role, layer: int, window: Window) -> dict[str, Any]:
    """AUC of the centred projection, some tokens ahead of a sentence: does it tell turning from other sentences?

    The direction is from every other trace and is tested on the rest. Intervals are bootstraps over traces.
    """
    moments = study.gather(role, study.traces[::2], labels=(BACKTRACKING,), windows=(window,))
    direction = contrast(moments, BACKTRACKING).at(layer, window)
    samples = [_samples(study, role, trace, direction) for trace in study.traces[1::2]]
    rows = []
    for i, lead in enumerate(LEADS):
        pairs = [(turns[:, i], rest[:, i]) for turns, rest in samples]
        turns, rest = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
        turns, rest = turns[~np.isnan(turns)], rest[~np.isnan(rest)]
        per_trace = [_auc(a, rest) for a, _ in pairs if np.isfinite(a).any()]
        interval = percentile_ratio(per_trace, [1.0] * len(per_trace))
        rows.append(
            {"lead": lead, "auc": round(_auc(turns, rest), 4), "low": round(interval.low, 4)}
            | {"high": round(interval.high, 4), "events": len(turns), "others": len(rest)}
        )
    return {"source": role, "layer": layer, "window": [window.start, window.stop], "rows": rows}


def _auc(turns: np.ndarray[Any, Any], rest: np.ndarray[Any, Any]) -> float:
    turns = turns[np.isfinite(turns)]
    return float(mannwhitneyu(turns, rest).statistic) / (len(turns) * len(rest))


def _samples(
    study: Study, role: Role, trace: Trace, direction: Direction
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(n_turns, n_leads) and (n_others, n_leads) projections that many tokens before the sentences of a trace."""
    facts = study.bench.pair.facts(role)
    loaded = study.bench.pair.model_of(facts.spec, facts.fingerprint)
    reading = encode_text(loaded, trace.prompt, trace.text)
    kept: list[torch.Tensor] = []
    run_decoder(loaded, torch.tensor([reading.token_ids]), [direction.layer], lambda _, hidden: kept.append(hidden[0]))
    vector = torch.from_numpy(direction.vector)
    projection = centred_projection(kept[0], vector, first=reading.text_start)[0].numpy()
    labels = {part.label for part in trace.parts}
    found = {
        label: [e.position for e in find_events(trace, label, spans=reading.spans, text_start=reading.text_start)]
        for label in labels
    }
    turns = found.get(BACKTRACKING, [])
    others = sorted(p for label, positions in found.items() if label != BACKTRACKING for p in positions)
    first = reading.text_start

    def at(positions: list[int]) -> np.ndarray[Any, Any]:
        rows = [[projection[p - lead] if p - lead >= first else np.nan for lead in LEADS] for p in positions]
        return np.asarray(rows, dtype=np.float64).reshape(len(positions), len(LEADS))

    return at(turns), at(others)
