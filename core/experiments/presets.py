"""Plans with defaults that can tell something: the whole paper, its quick form, and one place at a few doses."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import BadInput
from core.experiments.values import CONTROLS, OF_LABELS, ControlPlan, Doses, Figure, Fixed, Plan, TraceSource
from core.forward.edits import PAPER_DEPTH
from core.models.checkpoints import estimate_memory
from core.models.pair import ModelFacts
from core.runs.questions import Example
from core.values import PAPER_WINDOW, ModelSpec, PairSpec, SamplingSpec, Window

ALL_FIGURES: tuple[Figure, ...] = ("fig2", "fig3", "fig4", "fig5", "fig6", "figB1", "figC1")
BEYOND: tuple[Figure, ...] = ("map",)
"""Figures that a plan has only where they are named: they take long, and the paper has none of them."""
WINDOWS = (
    PAPER_WINDOW,
    Window(start=-19, stop=-13),
    Window(start=-7, stop=-1),
    Window(start=-2, stop=2),
    Window(start=0, stop=6),
)
"""The paper's window first: where the layers are compared first."""
QUICK_WINDOWS = (PAPER_WINDOW, Window(start=-7, stop=-1), Window(start=-2, stop=2))
CHOOSE, REPORT = 40, 104
"""Questions of each half where there are enough; a difference of half a point is told from none at about 100."""
QUICK_CHOOSE, QUICK_REPORT = 20, 40
"""Of the quick form; a model of at most SMALL_D_MODEL is quick enough to report on REPORT."""
TOKENS, QUICK_TOKENS, QUICK_DOSES = 192, 112, (0.7, 0.95)
SMALL_D_MODEL, SMALL_BLOCK, BLOCK = 512, 104, 32
MAX_LAYERS, QUICK_LAYERS = 12, 3
NOT_FIXED = Fixed()


def paper_plan(
    pair: tuple[ModelFacts, ModelFacts],
    traces: TraceSource,
    questions: Sequence[Example],
    *,
    quick: bool = False,
    figures: Sequence[Figure] = ALL_FIGURES,
    labels: Sequence[str] = (),
    fixed: Fixed = NOT_FIXED,
    n_choose: int | None = None,
) -> Plan:
    """The plan of the whole paper on a pair, or its quick form.

    `labels` are those of the traces where they are known: with one label, controls that need others are left out.
    `fixed` is what another experiment has chosen already, `n_choose` how many questions choose if not
    as usual. Raises BadInput for fewer than four questions.
    """
    facts = pair[1]
    is_small = facts.d_model <= SMALL_D_MODEL
    n_report = QUICK_REPORT if quick and not is_small else REPORT
    choose, report = split(questions, n_choose or (QUICK_CHOOSE if quick else CHOOSE), n_report)
    kinds = tuple(kind for kind in CONTROLS if not (len(set(labels)) == 1 and kind in OF_LABELS))
    return Plan(
        pair=PairSpec(base=pair[0].spec, reasoner=pair[1].spec),
        fingerprints=(pair[0].fingerprint, pair[1].fingerprint),
        figures=tuple(figures),
        traces=traces,
        windows=QUICK_WINDOWS if quick else WINDOWS,
        layers=default_layers(facts.n_layers, QUICK_LAYERS if quick else MAX_LAYERS),
        fixed=fixed,
        choose=choose,
        report=report,
        doses=Doses(values=QUICK_DOSES) if quick else Doses(),
        sampling=SamplingSpec(max_new_tokens=QUICK_TOKENS if quick else TOKENS, temperature=0.7),
        controls=ControlPlan(kinds=kinds, matched=0, curves=0) if quick else ControlPlan(kinds=kinds),
        block=SMALL_BLOCK if is_small else BLOCK,
    )


def split(questions: Sequence[Example], choose: int, report: int) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Each question once, in turn to either half until it is full: lists are often in order of kind.

    Raises BadInput for fewer than four different questions.
    """
    different = list({example.prompt: example for example in questions}.values())
    if len(different) < 4:
        raise BadInput(
            f"{len(different)} different questions were given.", "Give four or more: half choose, half are reported."
        )
    total = min(len(different), choose + report)
    n_choose = max(min(choose, total // 2), 1)
    step = total / n_choose
    taken = {int(i * step) for i in range(n_choose)}
    first = [example for i, example in enumerate(different[:total]) if i in taken]
    rest = [example for i, example in enumerate(different[:total]) if i not in taken]
    return tuple(first), tuple(rest)


def default_layers(n_layers: int, limit: int) -> tuple[int, ...]:
    """All layers of a small model; else `limit` of them spread around the paper's depth, that one among them."""
    if n_layers <= limit:
        return tuple(range(n_layers))
    middle = round(PAPER_DEPTH * n_layers)
    first, last = max(0, round(0.1 * n_layers)), min(n_layers - 1, round(0.75 * n_layers))
    found = {first + round(i * (last - first) / (limit - 1)) for i in range(limit)}
    nearest = min(found, key=lambda layer: (abs(layer - middle), -layer))
    return tuple(sorted(found - {nearest} | {middle}))


def facts_unloaded(pair: PairSpec) -> tuple[ModelFacts, ModelFacts]:
    """What can be known of the models before they are loaded. Raises ModelUnavailable."""
    return _unloaded(pair.base), _unloaded(pair.reasoner)


def _unloaded(spec: ModelSpec) -> ModelFacts:
    found = estimate_memory(spec)
    return ModelFacts(
        spec=spec,
        fingerprint="",
        name=spec.name,
        n_layers=found.n_layers,
        d_model=found.d_model,
        d_vocab=0,
        context_length=found.context_length,
    )
