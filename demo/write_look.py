"""The answers that Home shows while the pair is being loaded: python -m demo.write_look, after write_directions."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from core.directions.direction import DOSE
from core.disk import codec
from core.embedded import LOOK, LOOK_SAMPLING, embedded_directions, example_questions
from core.experiments.arms import three_ways
from core.models.pair import DEMO_PAIR, ROLES
from core.runs.values import GenerationSpec
from core.workbench import Workbench


def look_specs(bench: Workbench) -> tuple[GenerationSpec, ...]:
    """What Home asks first of the embedded pair: the first example question, at the recorded dose."""
    base, reasoner = embedded_directions()
    dose = round(float(dict(base.provenance)[DOSE]) * reasoner.resid_norm, 1)
    facts = {role: bench.pair.facts(role) for role in ROLES}
    prompts = {role: bench.pair.encode(role, example_questions()[0].prompt) for role in ROLES}
    return three_ways(facts, prompts, base, dose, LOOK_SAMPLING)


def main() -> None:
    """Write them, without the time that they took."""
    with tempfile.TemporaryDirectory() as scratch:
        bench = Workbench(Path(scratch))
        bench.engine.wait(bench.load_pair(DEMO_PAIR))
        written = bench.engine.wait(bench.generate(look_specs(bench))).result or ()
        LOOK.mkdir(parents=True, exist_ok=True)
        for i, generation in enumerate(written):
            data = codec.dump(replace(generation, seconds=0.0), key=str(i), saved_at=0.0)
            (LOOK / f"{i}.safetensors").write_bytes(data)
        bench.close()


if __name__ == "__main__":
    main()
