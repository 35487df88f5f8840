"""Home: the claim, the evidence on the loaded pair, and four ways in."""

import streamlit as st

from core.models.pair import DEMO_PAIR
from ui.shell.frame import PURPOSES, is_offered, page_path, require_shell, wait_for_pair
from ui.shell.how_read import say_vocabularies
from ui.shell.state import can_run, chosen_pair, is_recorded, pair_facts

require_shell(for_visitors=True)
st.subheader(PURPOSES["home"], anchor=False)
st.caption(
    "It is found in the **base** model, which never learned to reason, and added to the **reasoning** model and to the "
    "base model. A random push of the same size shows what any push does."
)
if pair_facts() is None and is_recorded():
    from ui.home.experiment import draw_embedded

    draw_embedded()
    st.stop()
if pair_facts() is None and chosen_pair() == DEMO_PAIR:
    from ui.home.live import draw_replay

    draw_replay()
pair = wait_for_pair()

from ui.home.experiment import draw_badges, draw_experiment  # noqa: E402  tables take a second to import: not before
from ui.home.live import draw_live  # noqa: E402
from ui.home.real_pair import draw_real_pair  # noqa: E402
from ui.home.trainings import draw_trainings  # noqa: E402

if can_run():
    draw_live(pair)
draw_badges(pair)
say_vocabularies()
draw_real_pair()

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
st.subheader("Over many questions, against controls", anchor=False)
draw_experiment(pair)
draw_trainings(pair)
offered = [way for way in ways if is_offered(way[0])]
for column, (stem, icon, label, text) in zip(st.columns(len(offered)), offered, strict=True):
    with column.container(border=True, height="stretch"):
        st.page_link(page_path(stem), label=f"**{label}**", icon=icon)
        st.caption(text)

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
