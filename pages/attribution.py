"""Token attribution: one text, read by one model, every token related to one direction."""

from __future__ import annotations

import streamlit as st

from core.attribution.costs import Sizes, reading_cost
from core.attribution.values import Attribution, AttributionSpec
from core.models.pair import ModelFacts
from ui.attribution.form import FOLDED, draw_form
from ui.attribution.view import draw_attribution, draw_stored
from ui.components.first_screen import fold_button, foldable
from ui.components.safe_text import plain, size
from ui.shell.frame import PURPOSES, require_shell
from ui.shell.how_read import say_vocabularies
from ui.shell.jobs import Offer, forward_macs, obtain
from ui.shell.state import caller, guest, is_recorded, pair_facts, workbench

SECTIONS = ("Text", "Agreement", "Compare", "Anticipation", "Corpus", "Direction lens")
FOR_VISITORS = ("Text", "Compare")
"""Those that take a pass or two."""


def attribution_of(spec: AttributionSpec, facts: ModelFacts) -> Attribution | None:
    """The attribution at hand, stored or now ready; otherwise its job is started, offered or followed."""
    n = len(spec.token_ids)
    memory = size(reading_cost(Sizes.of(spec, facts)).bytes)
    offer = Offer(
        macs=forward_macs(facts, n),
        words=f"{n:,} tokens through {facts.n_layers} layers of {plain(facts.name)} take a while: one forward pass, "
        f"and up to {memory} beside the weights. Set everything as you want it, then read the text; it is kept.",
        button="Read the text",
    )
    return obtain(spec, "attribution", Attribution, lambda: workbench().attribute(spec, caller()), offer=offer)


require_shell(for_visitors=True)
page = st.container(gap="xsmall")
head = page.container(horizontal=True, vertical_alignment="center")
head.subheader("Token attribution", anchor=False)
page.caption(PURPOSES["attribution"])

loaded = pair_facts()
if loaded is None and is_recorded():
    st.info("No reading of a text is stored here.", icon=":material/inventory_2:")
    st.stop()
if loaded is None:
    st.info(
        "The first text appears here as soon as a model pair is loaded. The sidebar shows how far that is"
        + ("." if guest() else "; if nothing is being loaded there, choose a pair under **Change models**."),
        icon=":material/hourglass_top:",
    )
    st.stop()

say_vocabularies()
with head:
    fold_button(FOLDED)
if is_recorded():
    draw_stored(loaded)
    st.stop()
with head, foldable(FOLDED, "sections", width="content"):
    section = st.segmented_control(
        "Show",
        FOR_VISITORS if guest() else SECTIONS,
        default=SECTIONS[0],
        required=True,
        key="attribution_section",
        persist_state="session",
        label_visibility="collapsed",
        wrap=True,
    )
with page:
    request = draw_form(loaded)
if request is None:
    st.stop()
reader = next(facts for facts in loaded if facts.fingerprint == request.spec.fingerprint)
with page:
    attribution = attribution_of(request.spec, reader)
if attribution is None:
    st.stop()

if section == "Agreement":
    from ui.attribution.agreement import draw_agreement

    draw_agreement(attribution, request, reader)
elif section == "Compare":
    from ui.attribution.compare import draw_compare

    draw_compare(attribution, request, reader)
elif section == "Anticipation":
    from ui.attribution.anticipation import draw_anticipation

    draw_anticipation(request)
elif section == "Direction lens":
    from ui.attribution.lens import draw_lens

    draw_lens(request)
elif section == "Corpus":
    from ui.attribution.corpus import draw_corpus

    draw_corpus(request, reader)
else:
    with page:
        draw_attribution(attribution, request, reader)
