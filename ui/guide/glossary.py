"""What the words of the pages mean, each in a sentence; the README has the same table."""

from __future__ import annotations

import streamlit as st

WORDS = {
    "backtrack, turn back": "To doubt what was written before, and start again from there: “Wait, no…”.",
    "event": "A sentence of a trace that carries the label under study, such as backtracking.",
    "trace": "A question with the reasoning that a model wrote for it, cut into labelled sentences.",
    "keyword, hit": "A word counted as a sign of backtracking (“Wait”, “Hmm”), and one place where it is written.",
    "rate": "Hits as a share of all words written (paper, Eq. 1).",
    "residual stream": "The vector that each layer of the model reads and adds to, one for every token.",
    "layer": "A block of the model, counted from 0; a direction of layer 4 is added to what block 4 gives out.",
    "direction": "A unit vector in the residual stream: the mean before events less the mean elsewhere (paper, Eq. 3).",
    "offset, window": "Tokens before (−) or after (+) an event's first one, and the offsets of a mean.",
    "dose, coefficient": "How many unit vectors of the direction are added to the stream at each steered token.",
    "unsteered": "The same model, question and seed with nothing added; every effect is a difference to it.",
    "random direction": "One drawn by chance and added with the same size: what it does, any push of that size does.",
    "control": "A direction that should not work if the claim is right: random, of another label, of shuffled events.",
    "specific": "The direction does more than the strongest readable control, with the interval clear of zero.",
    "readable": "Repetition and NLL stay near those of the unsteered texts.",
    "NLL, ΔNLL": "How unlikely a text is for the unsteered model, in nats per token; and how much more so.",
    "norm-matched": "A control of the same length as the direction.",
    "coherence-matched": "A control at the dose at which its texts are as unlikely as the direction's.",
    "KL": "How far two next-token distributions lie apart at a token, in nats; 0 where they are equal.",
    "projection": "How much of a token's vector points along the direction: h·v̂.",
    "cosine": "The same by the vector's length: 1 along the direction, 0 across it, −1 against it.",
    "separation, AUC": "The chance that a token in the window reads higher than one elsewhere; 0.5 tells nothing.",
    "d′": "The distance of the two means in standard deviations.",
    "D+": "The offsets before an event that a direction is taken from (paper, Section 2.2).",
    "logit lens": "Which next tokens a vector speaks for, if it went straight to the output.",
    "95% interval": "Where the value lies if questions were drawn anew, in 95 of 100 such studies.",
}


def draw_glossary() -> None:
    """A button that opens the table; it takes a click as well as a touch."""
    with st.popover("What the words mean", icon=":material/menu_book:", type="tertiary"):
        for word, meaning in WORDS.items():
            st.markdown(f"**{word}** · {meaning}")


def table() -> str:
    """The words as a table of Markdown."""
    rows = [f"| {word} | {meaning} |" for word, meaning in WORDS.items()]
    return "\n".join(["| word | meaning |", "|---|---|", *rows])
