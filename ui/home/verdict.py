"""What a 2×2 says about the paper's claim, in sentences, whichever way it goes."""

from __future__ import annotations

import pandas as pd

from core.models.pair import ROLES, Role
from ui.home.dose_chart import COHERENT, SOURCES, TARGETS
from ui.shell.roles import NAMES

NO_EFFECT_BELOW = 0.001


def verdict(rows: pd.DataFrame) -> list[str]:
    """One sentence per steered model, from the rows of `dose_chart.point_rows`."""
    sentences = []
    for source in ROLES:
        here = rows[(rows["source"] == SOURCES[source]) & (rows["target"] == TARGETS["reasoner"])]
        sentences.append(_on_reasoner(here, source))
    return [*sentences, _on_base(rows[rows["target"] == TARGETS["base"]])]


def _on_reasoner(rows: pd.DataFrame, source: Role) -> str:
    name = f"The direction from the **{NAMES[source]}**"
    zero, steered = rows[rows["coefficient"] == 0], rows[rows["coefficient"] > 0]
    coherent = steered[steered["coherent"] == COHERENT]
    if zero.empty or coherent.empty:
        return f"{name}: nothing can be said yet, since no dose with coherent text was measured."
    before, best = zero.iloc[0], coherent.sort_values("fraction").iloc[-1]
    shares = f"from {_share(before)} to {_share(best)} at coefficient {best['coefficient']:.3g}"
    if best["low"] > before["high"]:
        ratio = f", {best['fraction'] / before['fraction']:.1f} times as much" if before["fraction"] > 0 else ""
        return f"{name} **raises backtracking** in the reasoning model {shares}{ratio}, with coherent text."
    return (
        f"{name} **does not clearly raise backtracking** in the reasoning model while the text stays coherent: "
        f"{shares}, and the intervals overlap."
    )


def _on_base(rows: pd.DataFrame) -> str:
    coherent = rows[rows["coherent"] == COHERENT]
    if coherent.empty:
        return "The **base model**: no evidence, since its text is empty or incoherent at every dose."
    worst = coherent.sort_values("fraction").iloc[-1]
    if worst["fraction"] < NO_EFFECT_BELOW:
        return (
            f"The **base model** does not backtrack at any coherent dose: at most {_share(worst)}, as the paper found."
        )
    return f"The **base model** backtracks too, up to {_share(worst)}: unlike the paper's."


def _share(row: pd.Series) -> str:
    return f"{100 * row['fraction']:.2f}% [{100 * row['low']:.2f}, {100 * row['high']:.2f}]"
