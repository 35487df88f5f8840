"""Home: the claim, the evidence on the loaded pair, and four ways in."""

import streamlit as st

from ui.shell.frame import page_path, require_shell, wait_for_pair
from ui.shell.how_read import say_vocabularies

require_shell()
st.title("Retrace")
st.markdown(
    "A direction found in a **base** model, added to the **reasoning** model finetuned from it, makes that model turn "
    "back on itself (“Wait”, “Hmm”); added to the base model, it does not. Find that direction, steer with it, and "
    "read it token by token."
)

ways = (
    (
        "playground",
        ":material/tune:",
        "Make it backtrack",
        "The same question with and without the direction, side by side.",
    ),
    (
        "extraction",
        ":material/explore:",
        "Find the direction",
        "A difference of means over tokens just before the model turns back.",
    ),
    (
        "experiments",
        ":material/science:",
        "Put it to the test",
        "The whole paper on your pair: controls, chance, and what may be said.",
    ),
    (
        "attribution",
        ":material/manage_search:",
        "Read its tokens",
        "Where a text points along the direction, and what comes next.",
    ),
)
for column, (stem, icon, label, text) in zip(st.columns(4), ways, strict=True):
    with column.container(border=True, height="stretch"):
        st.page_link(page_path(stem), label=f"**{label}**", icon=icon)
        st.caption(text)

st.subheader("Does it hold for the loaded pair?")
pair = wait_for_pair()
say_vocabularies()

from ui.home.experiment import draw_experiment  # noqa: E402  charts and tables take a second to import: not before
from ui.home.trainings import draw_trainings  # noqa: E402

draw_experiment(pair)
draw_trainings(pair)

with st.expander("How to read this"):
    st.markdown(
        "**Colour** is the model in which the direction was found; the **panel** is the model it is added to, at every "
        "position. The grey band is where controls lie: random directions of the same length, other labels, and more. "
        "Ward, Lin, Venhoff and Nanda ([arXiv 2507.12638](https://arxiv.org/abs/2507.12638)) found that both "
        "directions raise backtracking in the reasoning model and neither does in the base model. The share of *wait* "
        "and *hmm* (their Eq. 1) is a rough measure: a looping text scores high, so doses that make the text "
        "repetitive or unlikely are drawn hollow. Readable means neither; it does not mean right. The inverted U is "
        "expected: too much of any vector breaks the text."
    )
