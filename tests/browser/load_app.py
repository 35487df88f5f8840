"""An app that writes a long text on one pair while it loads another, and says in a file when each token came."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import streamlit as st

from core.runs.values import GenerationSpec
from core.values import ModelSpec, PairSpec, SamplingSpec
from ui.shell.state import chosen_pair, workbench


def other_pair() -> PairSpec:
    """The pair that RETRACE_TEST_OTHER names as "base,reasoner"."""
    base, reasoner = os.environ["RETRACE_TEST_OTHER"].split(",")
    return PairSpec(
        base=ModelSpec(repo_id=base, precision="bf16"), reasoner=ModelSpec(repo_id=reasoner, precision="bf16")
    )


def watch() -> dict[str, object]:
    """Seconds of each token, and of the beginning and end of the load."""
    bench = workbench()
    bench.engine.wait(bench.load_pair(chosen_pair()))
    facts = bench.pair.facts("reasoner")
    spec = GenerationSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        prompt=bench.pair.encode("reasoner", "What is 3 plus 4?"),
        sampling=SamplingSpec(max_new_tokens=2000, banned=(1,)),
    )
    run = bench.generate([spec])
    while bench.engine.snapshot(run).progress.done < 50:
        time.sleep(0.01)
    tokens: list[tuple[float, float]] = []

    def look() -> None:
        tokens.append((time.monotonic(), bench.engine.snapshot(run).progress.done))
        time.sleep(0.005)

    begun = time.monotonic()
    while time.monotonic() - begun < 3:
        look()
    started, load = time.monotonic(), bench.load_pair(other_pair())
    while bench.engine.snapshot(load).live:
        look()
    ended = bench.engine.wait(run, 20)
    return {
        "tokens": [(t - started, n) for t, n in tokens],
        "load": time.monotonic() - started,
        "state": bench.engine.snapshot(load).state,
        "said": str(ended.error),
    }


if "seen" not in st.session_state:
    st.session_state["seen"] = True
    place = Path(os.environ["RETRACE_CACHE"], "seen")
    place.with_suffix(".part").write_text(json.dumps(watch()))
    place.with_suffix(".part").rename(place)
