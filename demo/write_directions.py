"""The two directions that come with the pair: python -m demo.write_directions, after the paper was recorded.

They are those of the place that the plan `paper` chose, and say at which share of the residual norm it was chosen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.directions.direction import DOSE
from core.directions.folder import direction_bytes
from core.embedded import example_traces, recorded_experiment
from core.extraction.values import ExtractionSpec
from core.extraction.work import extract
from core.jobs import finish
from core.models.pair import DEMO_PAIR, ROLES, PairHolder
from core.traces.events import digest_of

FOLDER = Path(__file__).parent / "directions"


def main() -> None:
    """Extract them, and write one file each."""
    outcome = recorded_experiment()
    choice = outcome.choice if outcome else None
    window = choice.window if choice else None
    if outcome is None or choice is None or window is None:
        raise SystemExit("The embedded pair is not recorded yet: run `make record`.")
    traces, pair = example_traces(), PairHolder()
    finish(pair.load(DEMO_PAIR))
    found = {}
    for role in ROLES:
        facts = pair.facts(role)
        spec = ExtractionSpec(
            model=facts.spec,
            fingerprint=facts.fingerprint,
            traces_digest=digest_of(traces),
            label=outcome.plan.label,
            windows=(window,),
            layers=(choice.layer,),
            negatives=outcome.plan.negatives,
        )
        loaded = pair.model_of(facts.spec, facts.fingerprint)
        found[role] = finish(extract(loaded, traces, spec)).at(choice.layer, window)
    share = choice.coefficient / found["reasoner"].resid_norm
    FOLDER.mkdir(exist_ok=True)
    for role, direction in found.items():
        named = replace(
            direction,
            name=f"{outcome.plan.label}, from the {role} model",
            provenance=(*direction.provenance, (DOSE, f"{share:.3g}")),
        )
        (FOLDER / f"{role}.safetensors").write_bytes(direction_bytes(named))


if __name__ == "__main__":
    main()
