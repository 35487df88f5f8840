"""What `make record` found on the embedded pair, claim by claim, whichever way it went."""

from __future__ import annotations

import streamlit as st

from core.embedded import RecordedClaims, recorded_claims
from core.models.pair import ModelFacts

TITLE = "Claim by claim, on the embedded pair"


def draw_claims(pair: tuple[ModelFacts, ModelFacts]) -> None:
    """A table of the claims, when the loaded pair is the one that they were measured on."""
    found = recorded_claims()
    if not found or found[0].fingerprints != (pair[0].fingerprint, pair[1].fingerprint):
        return
    embedded, *others = found
    held = sum(claim.holds for claim in embedded.claims)
    with st.expander(f"{TITLE}: {held} of {len(embedded.claims)} hold", icon=":material/receipt_long:"):
        st.table(_rows(embedded, found))
        others_too = f" and on {len(others)} pairs trained in the same way from another start" if others else ""
        st.caption(
            f"RECORDED · measured by `make record` on this pair{others_too}, on held-out problems that chose neither "
            "layer, window nor dose. Readable text: at most 0.5 nats per token above the baseline and at most twice "
            "its repetition. `demo/REPORT.md` has every number, the controls, and unedited traces."
        )


def draw_failures(pair: tuple[ModelFacts, ModelFacts]) -> None:
    """At the top, which recorded claims do not hold on the loaded pair, controls among them."""
    found = recorded_claims()
    if not found or found[0].fingerprints != (pair[0].fingerprint, pair[1].fingerprint):
        return
    failed = [claim for claim in found[0].claims if not claim.holds]
    if failed:
        lines = "\n".join(f"- {claim.text}: **no**; {claim.found}." for claim in failed)
        st.warning(f"Not everything holds on this pair:\n{lines}", icon=":material/rule:")


def _rows(embedded: RecordedClaims, found: tuple[RecordedClaims, ...]) -> list[dict[str, str]]:
    rows = []
    for i, claim in enumerate(embedded.claims):
        row = {"Claim": claim.text, "Holds": "✓ yes" if claim.holds else "✗ no", "Found": claim.found}
        if len(found) > 1:
            row["In all trainings"] = f"{sum(one.claims[i].holds for one in found)} of {len(found)}"
        rows.append(row)
    return rows
