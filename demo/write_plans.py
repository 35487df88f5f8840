"""The plans of what is recorded of the pair: python -m demo.write_plans. `make record` writes and runs them.

`paper` is the whole paper on the embedded pair, chosen by the app's own protocol; `seed1` and `seed2` are the 2×2 and
its controls on the pairs of the other training seeds, with fewer doses; `fig3` is the 2×2 at the place that the first
study of the pair chose, with its doses, questions and seeds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from core.experiments.plans import plan_json
from core.experiments.presets import paper_plan
from core.experiments.values import ControlPlan, Doses, Fixed, Plan, TraceSource
from core.jobs import finish
from core.models.pair import DEMO_PAIR, PairHolder
from core.runs.questions import Example
from core.traces.events import digest_of
from core.traces.records import read_traces
from core.traces.set_files import EMBEDDED
from core.values import PAPER_WINDOW, ModelSpec, PairSpec, Window

HERE = Path(__file__).parent
PLANS = HERE / "plans"
SEEDS = (1, 2)
FIRST_WINDOWS = (
    PAPER_WINDOW,
    Window(start=-25, stop=-19),
    Window(start=-19, stop=-13),
    Window(start=-7, stop=-1),
    Window(start=-1, stop=5),
)


def heldout() -> tuple[Example, ...]:
    """The problems that no training saw."""
    rows = json.loads((HERE / "prompts.json").read_text("utf-8"))["heldout"]
    return tuple(Example(prompt=row["prompt"], answer=row["answer"], family=row["family"]) for row in rows)


def proposed(pair: PairSpec, traces: TraceSource) -> Plan:
    """Every figure on a pair, at the sizes that the app proposes."""
    holder = PairHolder()
    finish(holder.load(pair))
    facts = (holder.facts("base"), holder.facts("reasoner"))
    return paper_plan(facts, traces, heldout())


def first_study(paper: Plan) -> Plan:
    """Fig. 3 as it was measured first: layer, window and dose chosen on 40 problems, reported on 208 others."""
    problems = heldout()
    return replace(
        paper,
        title="Fig. 3 of the embedded pair, at the place that was chosen first",
        figures=("fig3",),
        windows=FIRST_WINDOWS,
        layers=tuple(range(6)),
        fixed=Fixed(layer=4, window=Window(start=-7, stop=-1), dose=0.65),
        choose=problems[:40],
        report=problems[-208:],
        doses=Doses(unit="share", values=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
        counted="all",
        controls=ControlPlan(random=0, matched=0, curves=0, kinds=()),
    )


def seed_pair(seed: int) -> tuple[PairSpec, TraceSource]:
    """The pair of another training seed, and its traces."""
    base, reasoner = (ModelSpec(repo_id=f"demo/seeds/{seed}/{role}") for role in ("base", "reasoner"))
    path = Path("demo") / "seeds" / str(seed) / "traces.jsonl"
    digest = digest_of(read_traces(HERE.parent / path).traces)
    return PairSpec(base=base, reasoner=reasoner), TraceSource(kind="file", name=str(path), digest=digest)


def plans() -> dict[str, Plan]:
    """Every plan by its name."""
    digest = digest_of(read_traces(HERE / "traces.jsonl").traces)
    paper = proposed(DEMO_PAIR, TraceSource(kind="embedded", name=EMBEDDED, digest=digest))
    found = {"paper": replace(paper, title="The paper on the embedded pair"), "fig3": first_study(paper)}
    for seed in SEEDS:
        found[f"seed{seed}"] = replace(
            proposed(*seed_pair(seed)),
            title=f"The 2×2 and its controls on the pair of training seed {seed}",
            figures=("fig3", "fig4"),
            doses=Doses(values=(0.7, 0.85, 0.95)),
            controls=ControlPlan(matched=0, curves=0),
        )
    return found


def main() -> None:
    """Write them."""
    PLANS.mkdir(exist_ok=True)
    for name, plan in plans().items():
        (PLANS / f"{name}.json").write_text(plan_json(plan) + "\n", "utf-8")


if __name__ == "__main__":
    main()
