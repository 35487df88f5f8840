"""One spec and value of every kind that is kept, of exact numbers, so that keys and bytes are the same everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.attribution.corpus import CorpusText, CorpusTextSpec, Projection, ProjectionSpec
from core.attribution.readouts import Steered, SteeredSpec, StreamLens, StreamLensSpec
from core.attribution.values import (
    Attribution,
    AttributionSpec,
    DirectionLens,
    Divergence,
    DivergenceSpec,
    Gradients,
    GradientSpec,
    Interventions,
    InterventionSpec,
    LayerLens,
    LayerLensSpec,
    LensSpec,
    TargetText,
)
from core.directions.direction import Direction
from core.directions.mean_vectors import MeanVectors
from core.extraction.moments import Moments, MomentsSpec
from core.extraction.values import DirectionSet, ExtractionSpec
from core.forward.edits import SteeringSpec
from core.labelling.judge import JudgeBatch, JudgedBatch
from core.runs.cells import DoseCell, DoseCellSpec
from core.runs.values import Generation, GenerationSpec, LaneKL, LaneKLSpec
from core.tokens.frames import ChatFrame
from core.values import PAPER_WINDOW, ModelSpec, Part, Positions, Prompt, SamplingSpec, Trace, Window

BASE, REASONER = ModelSpec(repo_id="tiny/base", revision="abc"), ModelSpec(repo_id="tiny/reasoner", precision="bf16")
FINGERPRINT = "f" * 16
SEQ, LAYERS, D_MODEL = 4, 3, 4
IDS = tuple(range(5, 5 + SEQ))
PIECES = ("So", ", Wait", " … “é”", "\n")
PROMPT = Prompt(question="What is 2 + 2?", text="<|user|>What is 2 + 2?<think>\n", token_ids=(5, 6, 9))


def numbers(*shape: int, start: int = 0) -> NDArray[np.float32]:
    """Eighths, which every machine holds exactly."""
    return (np.arange(start, start + np.prod(shape), dtype=np.float32) / 8 - 1).reshape(shape)


def direction(layer: int = 2) -> Direction:
    return Direction(
        name=f"backtracking · layer {layer}",
        layer=layer,
        vector=np.asarray([0.5, -0.5, 0.5, 0.5], np.float32),
        norm=2.0 + layer,
        resid_norm=8.0,
        source_model="base",
        fingerprint=FINGERPRINT,
        provenance=(("label", "backtracking"), ("window", "-13..-8")),
    )


def generation(seed: int = 1) -> Generation:
    first = SteeringSpec(direction=direction(), layer=2, coefficient=8.0, positions=Positions(every=2))
    later = SteeringSpec(direction=direction(1), layer=1, operator="ablate", positions=Positions(region="thinking"))
    spec = GenerationSpec(
        model=REASONER,
        fingerprint=FINGERPRINT,
        prompt=PROMPT,
        sampling=SamplingSpec(seed=seed, temperature=0.5),
        steering=(first, later),
    )
    return Generation(spec=spec, token_ids=IDS, pieces=PIECES, stop_reason="eos", seconds=0.5, nll=1.25)


def mean_vectors() -> MeanVectors:
    return MeanVectors(
        name="of Venhoff et al.",
        labels=("overall", "backtracking"),
        means=numbers(2, LAYERS, D_MODEL),
        counts=np.asarray([100, 7]),
        source_model="base",
        provenance=(("file", "means"),),
    )


def traces() -> tuple[Trace, ...]:
    text = "We add 2 and 2. Wait, “is” that all? Yes…\n"
    parts = (Part(label="deduction", start=0, end=15), Part(label="backtracking", start=16, end=36))
    first = Trace(trace_id="a", prompt=PROMPT.question, text=text, parts=parts, source="here")
    return first, Trace(trace_id="b", prompt="", text="Nothing is labelled in this.", source="here")


def _attribution() -> tuple[AttributionSpec, Attribution]:
    spec = AttributionSpec(
        model=BASE,
        fingerprint=FINGERPRINT,
        token_ids=IDS,
        text_start=1,
        direction=direction(),
        layer=2,
        coefficient=4.0,
        keywords=("Wait", "Hmm"),
    )
    grids = ("projection", "cosine")
    rows = ("p_keyword", "rank_keyword")
    return spec, Attribution(
        spec=spec,
        pieces=PIECES,
        top_ids=np.arange(SEQ * 2).reshape(SEQ, 2),
        top_pieces=("x",) * (2 * SEQ),
        top_probs=numbers(SEQ, 2),
        seconds=0.5,
        **{name: numbers(LAYERS, SEQ, start=i) for i, name in enumerate(grids)},
        **{name: numbers(SEQ, start=i) for i, name in enumerate(rows)},
    )


def _directions() -> tuple[ExtractionSpec, DirectionSet]:
    spec = ExtractionSpec(
        model=BASE,
        fingerprint=FINGERPRINT,
        traces_digest="t",
        windows=(PAPER_WINDOW, Window(start=0, stop=1)),
        layers=(0, 2),
        frame=ChatFrame(prefix="<|user|>", suffix="<think>\n", source="template"),
    )
    return spec, DirectionSet(
        spec=spec,
        vectors=numbers(2, 2, D_MODEL),
        counts=np.arange(4).reshape(2, 2),
        resid_norms=numbers(2),
        separation=numbers(2, 2),
        separation_interval=numbers(2, 2, 2),
        reliability=numbers(2, 2),
        n_traces=3,
        n_events=4,
        n_tokens=100,
        composed=(PAPER_WINDOW,),
    )


def moments() -> Moments:
    spec = MomentsSpec(
        model=BASE,
        fingerprint=FINGERPRINT,
        traces_digest="t",
        labels=("backtracking",),
        windows=(Window(start=-1, stop=0),),
        layers=(0, 2),
        folds=2,
        shuffled="backtracking",
    )
    return Moments(
        spec=spec,
        sums=numbers(2, 2, 2, 2, 1, D_MODEL),
        counts=np.arange(8).reshape(2, 2, 2, 1),
        squares=numbers(2, 2, 1, D_MODEL),
        negative_sums=numbers(2, 2, 3, 2, 2, D_MODEL),
        negative_counts=np.arange(24).reshape(2, 2, 3, 2),
        all_squares=numbers(2, D_MODEL),
        norms=numbers(2),
        events=np.asarray([3, 3]),
        n_traces=4,
        n_tokens=50,
        skipped=("Trace b is too long.",),
    )


def _effects() -> dict[str, tuple[object, object]]:
    text = TargetText.of(_attribution()[0], (2, 3))
    other = TargetText(
        model=REASONER, fingerprint="e" * 16, token_ids=IDS, text_start=1, keywords=text.keywords, targets=(2, 3)
    )
    gradient = GradientSpec(text=text, direction=direction())
    grids = {name: numbers(LAYERS, SEQ, start=i) for i, name in enumerate(("along", "times_activation", "removal"))}
    one_by_one = InterventionSpec(text=text, direction=direction(), layer=2, coefficient=4.0, first=1)
    apart = DivergenceSpec(text=text, other=other)
    return {
        "gradients": (gradient, Gradients(spec=gradient, direct=numbers(2 * LAYERS + 2, SEQ), target=0.25, **grids)),
        "interventions": (
            one_by_one,
            Interventions(
                spec=one_by_one,
                steered=np.asarray([np.nan, 1, 2, 3], np.float32),
                ablated=numbers(SEQ),
                steered_all=3.5,
                ablated_all=-0.5,
                target=0.25,
            ),
        ),
        "divergence": (
            apart,
            Divergence(
                spec=apart,
                kl=numbers(SEQ),
                p_keyword_other=numbers(SEQ, start=1),
            ),
        ),
    }


def _readouts() -> dict[str, tuple[object, object]]:
    reading, _ = _attribution()
    steered, lens = SteeredSpec(reading=reading), StreamLensSpec.of(reading, 1)
    tops = {"top_ids": np.arange(SEQ * 2).reshape(SEQ, 2), "top_pieces": ("x",) * (2 * SEQ)}
    rows = {"p_keyword": numbers(SEQ), "kl": numbers(SEQ, start=2), "top_probs": numbers(SEQ, 2)}
    return {
        "steered": (steered, Steered(spec=steered, **tops, **rows)),
        "stream_lens": (lens, StreamLens(spec=lens, lens=numbers(SEQ), score=numbers(SEQ, start=3))),
    }


def _lenses() -> dict[str, tuple[object, object]]:
    lens = LensSpec(model=BASE, fingerprint=FINGERPRINT, direction=direction(), words=("wait", "but"))
    layers = LayerLensSpec(
        model=BASE, fingerprint=FINGERPRINT, vectors=numbers(LAYERS, D_MODEL, start=9), words=("wait",)
    )
    corpus = CorpusTextSpec(
        model=BASE, fingerprint=FINGERPRINT, token_ids=IDS, text_start=1, direction=direction(), keywords=("Wait",)
    )
    projection = ProjectionSpec(model=BASE, fingerprint=FINGERPRINT, token_ids=IDS, text_start=1, direction=direction())
    grids = {"projection": numbers(LAYERS, SEQ), "cosine": numbers(LAYERS, SEQ, start=1)}
    return {
        "lens": (
            lens,
            DirectionLens(top=((" Wait", 2.5), ("!", 1.0)), bottom=((" so", -2.5),), score=0.5, best_rank=1, n_items=2),
        ),
        "layer_lens": (layers, LayerLens(scores=numbers(LAYERS), ranks=numbers(LAYERS, start=16), n_items=2)),
        "corpus_text": (corpus, CorpusText(spec=corpus, pieces=PIECES, p_keyword=numbers(SEQ), **grids)),
        "projection": (projection, Projection(pieces=PIECES, values=numbers(SEQ))),
    }


def _runs() -> dict[str, tuple[object, object]]:
    run, reference = generation(), generation(2)
    cell = DoseCellSpec(
        model=BASE,
        fingerprint=FINGERPRINT,
        direction=direction(),
        layer=2,
        coefficient=4.0,
        prompts=(PROMPT,),
        sampling=SamplingSpec(max_new_tokens=8),
        keywords=("wait", "hmm"),
    )
    apart = LaneKLSpec(lane=run.spec, reference=reference.spec, token_ids=IDS)
    return {
        "generation": (run.spec, run),
        "dose_cell": (
            cell,
            DoseCell(
                spec=cell,
                hits=(1,),
                words=(20,),
                repetition=(0.0,),
                nll=(1.5,),
                no_evidence=("",),
                texts=("Wait, so 4.",),
            ),
        ),
        "lane_kl": (apart, LaneKL(spec=apart, kl=numbers(SEQ))),
    }


def values_by_kind() -> dict[str, tuple[object, object]]:
    """Kind of the workbench → (spec, value)."""
    batch = JudgeBatch(
        host="http://localhost:1",
        model="judge-1",
        prompt="Label them.",
        labels=("deduction", "backtracking"),
        question=PROMPT.question,
        before=("We add 2 and 2.",),
        sentences=("Wait, “is” that all?",),
    )
    return {
        **_runs(),
        **_effects(),
        **_lenses(),
        **_readouts(),
        "extraction": _directions(),
        "attribution": _attribution(),
        "judged": (batch, JudgedBatch(labels=("backtracking",))),
    }
