"""An app that begins one long job when it is opened, of the kind that RETRACE_TEST_JOB names, and says so in a file."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from core.embedded import example_traces
from core.extraction.moments import MomentsSpec
from core.runs.values import GenerationSpec
from core.traces.events import digest_of
from core.values import PAPER_WINDOW, SamplingSpec, Window
from ui.shell.state import chosen_pair, workbench


def begin(kind: str) -> str:
    """Start the job; every job needs the pair, and to load it imports torch."""
    bench = workbench()
    loading = bench.load_pair(chosen_pair())
    if kind == "load":
        return loading
    bench.engine.wait(loading)
    facts = bench.pair.facts("reasoner")
    if kind == "decode":
        spec = GenerationSpec(
            model=facts.spec,
            fingerprint=facts.fingerprint,
            prompt=bench.pair.encode("reasoner", "What is 3 plus 4?"),
            sampling=SamplingSpec(max_new_tokens=2000),
        )
        return bench.generate([spec])
    traces = example_traces() * 40
    moments = MomentsSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        traces_digest=digest_of(traces),
        labels=("backtracking",),
        windows=(PAPER_WINDOW, Window(start=-4, stop=0)),
        layers=tuple(range(facts.n_layers)),
    )
    return bench.record_moments([moments], traces)


if "job" not in st.session_state:
    kind = os.environ["RETRACE_TEST_JOB"]
    st.session_state["job"] = begin(kind)
    if kind != "load":
        while (now := workbench().engine.snapshot(st.session_state["job"])).progress.done < 20:
            assert now is not None
            assert now.live, now
    Path(os.environ["RETRACE_CACHE"], "started").touch()
