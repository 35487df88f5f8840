"""A set of prompts on the page: every lane on every prompt, paired by prompt and seed, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.embedded import example_questions
from core.runs.arms import ArmReading, compare_arms, needed_prompts, read_arm
from core.runs.history import run_id_of
from core.runs.questions import Example, QuestionList, read_questions
from core.runs.values import Generation, GenerationSpec
from core.statistics import Comparison, Interval
from ui.components.safe_text import plain, tried
from ui.playground.bar import refused_run
from ui.playground.experiment import offer_experiment
from ui.playground.forks import open_runs
from ui.playground.plan import KINDS, LaneKind, plan_lanes
from ui.playground.prompt import prompts_of
from ui.playground.settings import Settings, keywords
from ui.shell.jobs import follow
from ui.shell.state import caller, guarded, guest, take_over, workbench

SLOT = "job:set"
SOURCES = {"heldout": "held-out questions", "examples": "example questions", "upload": "your own file"}
OTHER_SEED = 10_007
"""Added to the seed of every prompt for the second unsteered run, whose difference is the resampling noise."""
MANY = 10_000
AGAIN = "unsteered, other seeds"
_READ = "pg_file:read"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One lane over the whole set."""

    title: str
    specs: tuple[GenerationSpec, ...]


def ask_set() -> tuple[Example, ...]:
    """The prompts, from the pair at hand or from a file; () with what to do when there are none."""
    kinds = {name: title for name, title in SOURCES.items() if name != "upload" and example_questions(name)}
    kinds |= {"upload": SOURCES["upload"]} if not guest() else {}
    if not kinds:
        return ()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        source = st.segmented_control(
            "Prompts",
            list(kinds),
            format_func=kinds.__getitem__,
            default=next(iter(kinds)),
            required=True,
            key="pg_set",
        )
        limit = st.number_input("How many", 2, 512, 16, key="pg_set_size", width=150, persist_state="session")
    if source != "upload":
        return example_questions(source or "heldout")[:limit]
    file = st.file_uploader(
        "Questions, one a line, JSON Lines or a JSON array, with “prompt” and maybe “answer”",
        type=["txt", "jsonl", "json"],
        key="pg_file",
    )
    if file is None:
        st.info(
            "Choose a file of prompts, or take the questions that come with the pair.", icon=":material/description:"
        )
        return ()
    found = _questions_of(file)
    if found.problems:
        st.warning(
            f"Left out, as they hold no question: {len(found.problems):,}. {plain(found.problems[0])}",
            icon=":material/warning:",
        )
    return found.questions[:limit]


def _questions_of(file: UploadedFile) -> QuestionList:
    """What the file holds, read once."""
    kept: tuple[str, QuestionList] | None = st.session_state.get(_READ)
    if kept is None or kept[0] != file.file_id:
        kept = st.session_state[_READ] = (file.file_id, read_questions(file.getvalue(), source=file.name))
    return kept[1]


def arms_of(examples: Sequence[Example], asked: Settings, kinds: Sequence[LaneKind]) -> list[Arm]:
    """One arm per kind of lane; with sampling, the unsteered one once more with other seeds."""
    by_kind: dict[str, list[GenerationSpec]] = {}
    for i, example in enumerate(examples):
        sampling = replace(asked.sampling, seed=asked.sampling.seed + i)
        prompts = prompts_of(example.prompt)
        plan = plan_lanes(prompts, asked.program, sampling, kinds=kinds, control_seed=asked.control_seed)
        for kind, spec in zip([kind for kind in KINDS if kind in kinds], plan.specs, strict=True):
            by_kind.setdefault(KINDS[kind], []).append(spec)
            if kind == "baseline" and sampling.temperature > 0:
                again = replace(spec, sampling=replace(sampling, seed=sampling.seed + OTHER_SEED))
                by_kind.setdefault(AGAIN, []).append(again)
    return [Arm(title=title, specs=tuple(specs)) for title, specs in by_kind.items()]


def _ask_arms(asked: Settings, kinds: Sequence[LaneKind]) -> tuple[tuple[Example, ...], list[Arm]]:
    examples = ask_set()
    return examples, arms_of(examples, asked, kinds) if examples and kinds else []


def draw_set(asked: Settings, pressed: bool, kinds: Sequence[LaneKind]) -> None:
    """The whole view: prompts, one job over all of them, and what came of it."""
    found = tried(lambda: _ask_arms(asked, kinds))
    if found is None:
        return
    examples, arms = found
    take_over(SLOT, "generate_set")
    if pressed and arms:
        by_prompt = [spec for row in zip(*(arm.specs for arm in arms), strict=True) for spec in row]
        guarded(lambda: workbench().generate_set(by_prompt, caller()), SLOT)
    if arms and asked.program:
        offer_experiment(asked, examples, [asked.program[0].coefficient], key="pg_set_experiment")
    job = follow(SLOT)
    if (job is not None and job.live) or not arms:
        return
    stored = [[workbench().cached(spec) for spec in arm.specs] for arm in arms]
    done = sum(run is not None for row in stored for run in row)
    total = sum(len(arm.specs) for arm in arms)
    whole = [i for i in range(len(examples)) if all(row[i] is not None for row in stored)]
    if done < total:
        kept = f" {done} of {total} completions are there already and are not run again." if done else ""
        shown = f" Below are the {len(whole)} prompts that every arm has answered." if whole else ""
        st.info(
            (refused_run("set") or f"Press **Run the set**: {len(examples)} prompts in {len(arms)} arms.{kept}")
            + shown,
            icon=":material/play_arrow:",
        )
    if whole:
        arms = [replace(arm, specs=tuple(arm.specs[i] for i in whole)) for arm in arms]
        written = [tuple(run for i in whole if (run := row[i]) is not None) for row in stored]
        _draw_readings(arms, written, [examples[i] for i in whole])


def _draw_readings(arms: Sequence[Arm], found: Sequence[tuple[Generation, ...]], examples: Sequence[Example]) -> None:
    answers, words = [example.answer for example in examples], keywords()
    readings = [read_arm(generations, answers, words) for generations in found]
    baseline = readings[0]
    rows = [
        _row(arm.title, reading, None if i == 0 else compare_arms(reading, baseline).difference)
        for i, (arm, reading) in enumerate(zip(arms, readings, strict=True))
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    for sentence in _sentences(arms, readings):
        st.markdown(f"- {sentence}")
    st.caption(
        "Intervals are 95%: over prompts (Korn and Graubard) for keywords, Wilson for accuracy, Student for NLL. "
        "Differences are to the first arm, paired by prompt and seed; each is tested by exchanging the two arms prompt "
        "by prompt."
    )
    _draw_prompts(arms, examples)


def _row(title: str, reading: ArmReading, difference: Interval | None) -> dict[str, object]:
    return {
        "arm": title,
        "keywords": _percent(reading.fraction),
        "difference": _percent(difference, signed=True) if difference else "",
        "accuracy": _percent(reading.accuracy, digits=0) if reading.accuracy else "no answers known",
        "tokens": f"{reading.tokens:.0f}",
        "repetition": f"{reading.repetition:.0%}",
        "NLL": f"{reading.nll.mean:.2f} [{reading.nll.low:.2f}, {reading.nll.high:.2f}]",
        "no evidence": reading.no_evidence,
    }


def _percent(interval: Interval, *, signed: bool = False, digits: int = 2) -> str:
    if math.isnan(interval.mean):
        return "no words"
    sign = "+" if signed else ""
    shown = f"{interval.mean:{sign}.{digits}%}"
    if math.isnan(interval.low):
        return shown
    return f"{shown} [{interval.low:{sign}.{digits}%}, {interval.high:{sign}.{digits}%}]"


def _sentences(arms: Sequence[Arm], readings: Sequence[ArmReading]) -> list[str]:
    """What can be said of each arm beside the first, and of the noise between two unsteered runs."""
    said, baseline = [], readings[0]
    tested = sum(arm.title != AGAIN for arm in arms[1:])
    for arm, reading in zip(arms[1:], readings[1:], strict=True):
        found = compare_arms(reading, baseline)
        if arm.title != AGAIN:
            said.append(_compared(arm.title, arms[0].title, found, tested, needed_prompts(reading, baseline)))
        elif not math.isnan(found.difference.low):
            width = max(abs(found.difference.low), abs(found.difference.high))
            said.append(f"Noise floor: two unsteered runs with other seeds differ by up to ±{width:.2%} on this set.")
        if 2 * reading.no_evidence > len(reading.hits):
            said.append(f"**{arm.title}**: {reading.no_evidence} of {len(reading.hits)} completions are no evidence.")
    if not any(arm.title == AGAIN for arm in arms):
        said.append("At temperature 0 there is no resampling noise to measure: set a temperature above 0 for it.")
    return said


def _compared(arm: str, first: str, found: Comparison, tested: int, needed: int | None) -> str:
    """One sentence on an arm beside the first, by the paired test among as many arms as are `tested`."""
    n, finding = found.difference.n, found.finding(tries=tested)
    if finding == "too little":
        return f"**{arm}**: too little text to say; {n} prompts with words in both arms cannot decide it."
    shown = f"{_percent(found.difference, signed=True)}, {n} prompts, paired p = {min(tested * found.p, 1.0):.3f}"
    if finding == "unclear":
        return f"**{arm}** cannot be told from {first} on this set ({shown}).{_hint(needed)}"
    return f"**{arm}** has {'more' if finding == 'more' else 'fewer'} keywords than {first}: {shown}."


def _hint(needed: int | None) -> str:
    if needed is None:
        return ""
    if needed > MANY:
        return f" Not even {MANY:,} prompts would tell a difference as small as this one from none."
    return f" About {needed:,} prompts would tell a difference of this size from none."


def _draw_prompts(arms: Sequence[Arm], examples: Sequence[Example]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        at = st.selectbox(
            "Look at one prompt",
            range(len(examples)),
            format_func=lambda i: f"{i + 1}. {examples[i].prompt[:110]}",
            key="pg_set_prompt",
        )
        ids = [run_id_of(arm.specs[at]) for arm in arms if at < len(arm.specs)]
        st.button("Open its lanes", on_click=open_runs, args=(ids,), key="pg_set_open")
