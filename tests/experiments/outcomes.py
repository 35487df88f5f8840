"""An outcome with every figure, made without a model: counts drawn from a rule that a test can state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from core.experiments.values import (
    Choice,
    ControlPlan,
    Doses,
    Edge,
    Half,
    Kind,
    LabelRow,
    LeadRow,
    LeadTrace,
    LensRow,
    Outcome,
    Plan,
    Point,
    TraceSource,
)
from core.models.pair import ROLES, Role
from core.runs.cells import DoseCell, DoseCellSpec
from core.runs.questions import Example
from core.values import ModelSpec, PairSpec, Prompt, SamplingSpec, Window

BASE, REASONER = (ModelSpec(repo_id=f"tiny/{role}", precision="bf16") for role in ROLES)
WINDOWS = (Window(start=-13, stop=-7), Window(start=-7, stop=-1), Window(start=-2, stop=2))
LAYERS = (2, 4, 6)
DOSES = (2.0, 4.0, 6.0, 8.0, 10.0)
LAYER, WINDOW, DOSE = 4, WINDOWS[1], 6.0
PLACES = ((2, WINDOW), (6, WINDOW), *((4, window) for window in WINDOWS))
RESID_NORM, RAW_NORM, WORDS = 16.0, 1.5, 100
EDGE = 8.0
RANDOM, CURVES = 20, 3
LABELS = ("deduction", "adding-knowledge", "example-testing", "uncertainty-estimation")


def plan(*, n_choose: int = 24, n_report: int = 60, **changes: Any) -> Plan:
    """A plan of every figure."""
    every = tuple(Example(prompt=f"What is {i} + {i}?", answer=str(2 * i)) for i in range(n_choose + n_report))
    made = Plan(
        title="Does it backtrack?",
        pair=PairSpec(base=BASE, reasoner=REASONER),
        fingerprints=("base-fingerprint", "reasoner-fingerprint"),
        figures=("fig2", "fig3", "fig4", "fig5", "fig6", "figB1", "figC1", "map"),
        traces=TraceSource(kind="embedded", digest="0123456789abcdef"),
        windows=WINDOWS,
        layers=LAYERS,
        choose=every[:n_choose],
        report=every[n_choose:],
        doses=Doses(values=tuple(dose / EDGE for dose in DOSES)),
        sampling=SamplingSpec(max_new_tokens=128, temperature=0.7),
        controls=ControlPlan(random=RANDOM, curves=CURVES),
    )
    return replace(made, **changes)


def point(
    kind: Kind,
    target: Role = "reasoner",
    dose: float = 0.0,
    *,
    hits: float,
    half: Half = "report",
    source: Role | None = None,
    n: int = 60,
    seed: int = 0,
    **changes: Any,
) -> Point:
    """A point with `hits` keywords in 100 words of a question on average, less likely by (dose / EDGE)² / 2."""
    rng = np.random.default_rng([seed, n])
    name = {"unsteered": "unsteered", "direction": f"{source}-derived"}.get(kind, kind)
    cost = 0.5 * (dose / EDGE) ** 2
    made = Point(
        target=target,
        kind=kind,
        name=name,
        source=source,
        layer=LAYER if dose else 0,
        window=WINDOW if dose else None,
        match="norm",
        half=half,
        coefficient=dose,
        resid_norm=RESID_NORM,
        raw_norm=RAW_NORM if dose else 0.0,
        hits=tuple(int(k) for k in rng.poisson(hits, n)),
        words=(WORDS,) * n,
        repetition=tuple(round(float(r), 4) for r in rng.uniform(0.03, 0.05, n)),
        nll=tuple(round(1.1 + cost + 0.1 * float(e), 4) for e in rng.standard_normal(n)),
        no_evidence=0,
        right=n // 2,
        n_known=n,
        cells=(f"cell:{kind}:{target}:{source}:{half}:{dose:g}:{seed}",),
    )
    made = replace(made, **changes)
    return replace(made, back=sum(made.hits) // 2, remarks=sum(made.hits) // 10)


def hump(dose: float, height: float) -> float:
    """Keywords in 100 words: an inverted U over the dose with its top at DOSE."""
    return 0.6 + height * max(0.0, 1 - ((dose - DOSE) / 6) ** 2)


def chosen_from() -> tuple[Point, ...]:
    """Layers × doses of both sources, and windows × doses."""
    found = [point("unsteered", hits=0.6, half="choose", n=24)]
    for j, source in enumerate(ROLES):
        for i, (layer, window) in enumerate([(layer, WINDOW) for layer in LAYERS] + [(LAYER, w) for w in WINDOWS]):
            if i >= len(LAYERS) and (window == WINDOW or source == "reasoner"):
                continue
            height = 4.0 / (1 + abs(layer - LAYER)) / (1 + abs(WINDOWS.index(window) - 1))
            found += [
                point(
                    "direction",
                    dose=dose,
                    hits=hump(dose, height),
                    half="choose",
                    source=source,
                    n=24,
                    layer=layer,
                    window=window,
                    seed=100 + 10 * i + j,
                )
                for dose in DOSES
            ]
    return tuple(found)


def reported() -> tuple[Point, ...]:
    """The 2×2, the controls over doses, and the random directions in both matches."""
    found = [point("unsteered", hits=0.6), point("unsteered", "base", hits=0.3, seed=1)]
    for target in ROLES:
        for source in ROLES:
            seed = 2 * ROLES.index(target) + ROLES.index(source)
            found += [
                point(
                    "direction",
                    target,
                    dose,
                    hits=hump(dose, 3.6 - 0.4 * seed) if target == "reasoner" else 0.3,
                    source=source,
                    seed=seed,
                )
                for dose in DOSES
            ]
    named: tuple[tuple[Kind, str, float], ...] = (
        *(("label", f"label: {label}", 0.8 - 0.15 * i) for i, label in enumerate(LABELS)),
        ("shuffled", "shuffled events", 0.3),
        ("mean", "overall mean", 0.1),
        ("flip", "sign flip", -0.3),
        ("self", "self-amplification", 0.2),
        ("without", "without uncertainty-estimation", 2.4),
        ("position", "against the place of other parts", 3.0),
    )
    for i, (kind, name, height) in enumerate(named):
        found += [control(kind, name, dose, height, seed=20 + i, cosine=round(0.9 - 0.1 * i, 2)) for dose in DOSES]
    for i in range(1, RANDOM + 1):
        doses = DOSES if i <= CURVES else (DOSE,)
        height = 0.5 * (i % 5) / 4
        found += [control("random", f"random {i}", dose, height, seed=40 + i, cosine=0.01) for dose in doses]
        found.append(control("random", f"random {i}", DOSE * 1.3, height, seed=40 + i, cosine=0.01, match="coherence"))
    return tuple(found)


def control(kind: Kind, name: str, dose: float, height: float, *, seed: int, **changes: Any) -> Point:
    """A control of the base-derived direction on the reasoning model."""
    source: Role | None = None if kind in ("random", "self") else "base"
    return point(kind, dose=dose, hits=max(0.2, hump(dose, height)), source=source, seed=seed, name=name, **changes)


def outcome(**changes: Any) -> Outcome:
    """A finished outcome with every figure; `changes` are fields of Outcome."""
    made = Outcome(
        plan=plan(),
        fingerprints=("base-fingerprint", "reasoner-fingerprint"),
        done=200,
        total=200,
        finished=True,
        edges=tuple(Edge(layer=layer, window=window, coefficient=EDGE, found=True) for layer, window in PLACES),
        choice=Choice(layer=LAYER, window=WINDOW, coefficient=DOSE, readable=True, n_compared=25),
        chosen_from=chosen_from(),
        reported=reported(),
        lens=tuple(
            LensRow(source=s, head=h, layer=layer, score=0.1 * layer + i + 0.5 * j, rank=1 + 400 // (1 + layer + i))
            for i, s in enumerate(ROLES)
            for j, h in enumerate(ROLES)
            for layer in range(8)
        ),
        leads=tuple(
            LeadRow(
                source=s,
                lead=lead,
                auc=0.9 - 0.02 * lead - 0.05 * i,
                low=0.8 - 0.02 * lead,
                high=0.95 - 0.02 * lead,
                n_events=40,
                n_others=300,
            )
            for i, s in enumerate(ROLES)
            for lead in range(0, 16, 2)
        ),
        lead_traces=tuple(
            LeadTrace(
                source=s,
                trace_id=f"trace {k}",
                projection=tuple(float(np.sin(t / 5 + k)) for t in range(60)),
                pieces=tuple(f" word{t}" for t in range(60)),
                events=(11, 42),
            )
            for s in ROLES
            for k in (1, 2)
        ),
        labels=tuple(
            LabelRow(
                coefficient=dose,
                labeller="keywords of the set",
                n_texts=60,
                both=30 + k,
                keyword_only=10,
                reference_only=12 + k,
            )
            for k, dose in enumerate((0.0, *DOSES))
        ),
        notes=("No dose of random 7 up to 48 has the direction's coherence.",),
        provenance=(("Retrace", "0.1.0"), ("device", "cpu"), ("measured", "2026-11-26")),
    )
    return replace(made, **changes)


def cell_of(text: Callable[[str], str] = "Wait, let me check: {}.".format) -> Callable[[str], DoseCell]:
    """Cells by key, with a text per reported question."""

    def found(key: str) -> DoseCell:
        prompts = tuple(Prompt(question=e.prompt, text=e.prompt, token_ids=(1,)) for e in plan().report)
        spec = DoseCellSpec(
            model=REASONER,
            fingerprint="reasoner-fingerprint",
            direction=None,
            layer=0,
            coefficient=0.0,
            prompts=prompts,
            sampling=plan().sampling,
            keywords=plan().keywords,
        )
        n = len(prompts)
        return DoseCell(
            spec=spec,
            hits=(1,) * n,
            words=(4,) * n,
            repetition=(0.0,) * n,
            nll=(1.0,) * n,
            no_evidence=("",) * n,
            texts=tuple(text(p.question) for p in prompts),
        )

    return found
