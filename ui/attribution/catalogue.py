"""Every method with its words: which number it is, and what it does not say. No Streamlit."""

from __future__ import annotations

from typing import get_args

import numpy as np

from ui.attribution.methods import (
    Family,
    Method,
    ablated,
    along,
    direct,
    kl_models,
    kl_steered,
    lens,
    lens_other,
    no_direct,
    no_score,
    p_keyword,
    p_other,
    p_steered,
    p_steered_if_read,
    removal,
    score,
    steered,
    times_activation,
)

METHODS: tuple[Method, ...] = (
    Method(
        key="projection",
        title="Projection",
        short="Projection",
        family="Direction",
        unit="",
        per_layer=True,
        signed=True,
        read=lambda r: r.attribution.projection,
        explanation="How far the residual stream after this layer leans along the direction (blue) or against it "
        "(orange), compared with the mean of this text. It is dense and also high where nothing turns back: not a "
        "predictor of backtracking (paper, Fig. 6).",
    ),
    Method(
        key="cosine",
        title="Cosine",
        short="Cosine",
        family="Direction",
        unit="",
        per_layer=True,
        signed=True,
        read=lambda r: r.attribution.cosine,
        explanation="The projection divided by the activation's length, so −1 to 1: how much of what is special about "
        "this token is this direction. It does not say what steering would change here.",
    ),
    Method(
        key="p_keyword",
        title="P(next is a keyword)",
        short="P(keyword)",
        family="Read-out",
        unit="%",
        read=p_keyword,
        floor=1.0,
        shares_range_with=p_steered_if_read,
        explanation="The probability that the token *after* this one starts a keyword. It counts words, not turns of "
        "thought: a “wait” may change nothing, and a turn may begin with other words.",
    ),
    Method(
        key="rank",
        title="Rank of the best keyword",
        short="Rank",
        family="Read-out",
        unit="decades from first",
        read=lambda r: -np.log10(r.attribution.rank_keyword),
        signed=True,
        floor=3.0,
        explanation="Where the likeliest keyword stands among all next tokens, in powers of ten: 0 is first place, −2 "
        "is place 100. It shows keywords that are near although their probability is tiny.",
    ),
    Method(
        key="lens",
        title="Logit lens of keywords",
        short="Logit lens",
        family="Read-out",
        needs="lens",
        unit="nats",
        per_layer=True,
        signed=True,
        read=lens,
        explanation="Log probability of the keywords when this layer is read out as if the model ended here, above "
        "(blue) or below (orange) this text's mean. Early layers are not made to be read out: take their values as "
        "hints, not as what the model would say.",
    ),
    Method(
        key="score",
        title="Eq. 2 of the stream",
        short="Eq. 2",
        family="Read-out",
        needs="lens",
        unit="logits",
        per_layer=True,
        signed=True,
        read=score,
        missing=no_score,
        explanation="Mean lens logit of all vocabulary items that contain one of the Eq. 2 words, above or below this "
        "text's mean (paper, Eq. 2, for activations). The words are set in the menu beside the text, at the top.",
    ),
    Method(
        key="lens_other",
        title="Logit lens through the other model",
        short="Lens, other W_U",
        family="Read-out",
        needs="lens_other",
        unit="nats",
        per_layer=True,
        signed=True,
        read=lens_other,
        explanation="The same stream, read out by the other model's final norm and W_U. Where it agrees with the "
        "logit lens, finetuning left the read-out alone; it says nothing about how the stream came about.",
    ),
    Method(
        key="p_keyword_steered",
        title="P(next is a keyword), steered",
        short="P steered",
        family="Steered",
        needs="steered",
        unit="%",
        read=p_steered,
        floor=1.0,
        shares_range_with=p_keyword,
        explanation="The same probability with the direction added at every position of this same text, on the same "
        "colour range. The text is read, not written anew: a steered model would soon have said something else.",
    ),
    Method(
        key="difference",
        title="Difference in P(keyword)",
        short="Δ P",
        family="Steered",
        needs="steered",
        unit="points",
        signed=True,
        read=lambda r: p_steered(r) - p_keyword(r),
        floor=1.0,
        explanation="Steered less unsteered probability of a keyword next, in percentage points: where the direction "
        "asks for a keyword (blue) or discourages it (orange). A strong dose does so for reasons that need not be "
        "backtracking.",
    ),
    Method(
        key="kl",
        title="Steering KL",
        short="KL",
        family="Steered",
        needs="steered",
        unit="nats",
        read=kl_steered,
        floor=0.01,
        explanation="How much adding the direction changes the whole next-token distribution (KL, unsteered ‖ "
        "steered). Any change counts, keywords or not: it shows where the direction acts, not what it does.",
    ),
    Method(
        key="gradient",
        title="Gradient × direction",
        short="× direction",
        family="Gradient",
        needs="gradients",
        unit="logits",
        per_layer=True,
        signed=True,
        floor=1e-3,
        read=along,
        explanation="Estimate, from one backward pass, of what adding the direction after this layer at this token "
        "alone would do to the target. A straight line through a curved function: **Agreement** checks it exactly.",
    ),
    Method(
        key="gradient_activation",
        title="Gradient × activation",
        short="× activation",
        family="Gradient",
        needs="gradients",
        unit="logits",
        per_layer=True,
        signed=True,
        floor=1e-3,
        read=times_activation,
        explanation="Estimate of how much this token's own activation, as it differs from the text's mean, moves the "
        "target. It knows nothing of the direction; nearness to the target inflates the last layers.",
    ),
    Method(
        key="gradient_removal",
        title="Gradient estimate of ablation",
        short="Est. ablation",
        family="Gradient",
        needs="gradients",
        unit="logits",
        per_layer=True,
        signed=True,
        floor=1e-3,
        read=removal,
        explanation="Gradient × direction × −projection: the estimate of what taking the direction out at this token "
        "would do to the target. “Exact ablation” measures the same without the straight line.",
    ),
    *(
        Method(
            key=f"direct_{part}",
            title=f"Direct logit attribution, {words}",
            short=short,
            family="Direct",
            needs="gradients",
            unit="logits",
            per_layer=True,
            signed=True,
            floor=1e-2,
            read=read,
            missing=no_direct,
            explanation=f"What {words} of this layer writes straight into this token's own keyword logits, less those "
            "of the likeliest other tokens, final norm included. What later blocks make of it is not counted.",
        )
        for part, words, short, read in (
            ("block", "the block", "Block", lambda r: direct(r).sum(1)),
            ("attention", "the attention", "Attention", lambda r: direct(r)[:, 0]),
            ("mlp", "the MLP", "MLP", lambda r: direct(r)[:, 1]),
        )
    ),
    Method(
        key="exact_steering",
        title="Exact steering here alone",
        short="Steer here",
        family="Exact",
        needs="interventions",
        unit="logits",
        signed=True,
        floor=1e-3,
        read=steered,
        explanation="What the target does when the direction is added at this one position, measured for each. "
        "Positions after the target cannot act on it and have no value.",
    ),
    Method(
        key="exact_ablation",
        title="Exact ablation here alone",
        short="Ablate here",
        family="Exact",
        needs="interventions",
        unit="logits",
        signed=True,
        floor=1e-3,
        read=ablated,
        explanation="What the target does when the projection on the direction is taken out at this one position. "
        "Orange means the text leaned on it. Another position may carry the same information and make up for it.",
    ),
    Method(
        key="kl_models",
        title="KL between the two models",
        short="KL",
        family="Two models",
        needs="divergence",
        unit="nats",
        floor=0.05,
        read=kl_models,
        explanation="How far the two models' next-token distributions part at this token (KL, reading model ‖ other). "
        "Any disagreement counts: style and format as well as backtracking.",
    ),
    Method(
        key="p_keyword_other",
        title="P(next is a keyword), other model",
        short="P, other model",
        family="Two models",
        needs="divergence",
        unit="%",
        floor=1.0,
        read=p_other,
        shares_range_with=p_keyword,
        explanation="The other model's probability of a keyword next, on the same text.",
    ),
)
BY_KEY: dict[str, Method] = {method.key: method for method in METHODS}
WITHOUT_KEYWORDS = frozenset({"projection", "cosine", "score", "kl", "kl_models"})
"""Methods whose numbers do not depend on the keywords."""
FAMILIES: tuple[Family, ...] = get_args(Family)


def methods_of(family: Family) -> tuple[Method, ...]:
    """The methods of one family, in order."""
    return tuple(method for method in METHODS if method.family == family)
