"""The dose strip: small multiples over coefficients, the coherent band shaded. Knows nothing of jobs or models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from core.runs.dose_strip import DoseReading, coherent_band
from ui.components.token_strip import read_assets

SNIPPET = 260
"""Characters of a text that a column shows."""

_css, _js = read_assets("dose_strip")
_component = st.components.v2.component("retrace_dose_strip", css=_css, js=_js)


def dose_strip(
    doses: Sequence[float],
    readings: Sequence[DoseReading | None],
    texts: Sequence[str],
    *,
    key: str,
    resid_norm: float,
    by_share: bool,
    chosen: float | None,
    on_pick: Callable[[float], None],
    counted: str,
    finished: bool = True,
) -> None:
    """Draw one column per dose; a dose that is clicked, once all are `finished`, goes to `on_pick`.

    `counted` names the words whose share the first bar shows.
    """
    data = strip_data(doses, readings, texts, resid_norm=resid_norm, by_share=by_share, finished=finished)
    data["chosen"] = next(
        (i for i, dose in enumerate(doses) if chosen is not None and math.isclose(dose, chosen, rel_tol=0.005)), None
    )
    data["counted"] = counted
    _component(key=key, data=data, on_pick_change=lambda: _take_pick(key, doses, on_pick))


def strip_data(
    doses: Sequence[float],
    readings: Sequence[DoseReading | None],
    texts: Sequence[str],
    *,
    resid_norm: float,
    by_share: bool,
    finished: bool = True,
) -> dict[str, object]:
    """The strip as JSON-ready data: bar heights as shares of the row's largest value, of NLL of twice the coherent."""
    there = [reading for reading in readings if reading is not None]
    band = coherent_band(there) if finished else None
    tops = {
        "fraction": max([0.01, *(r.fraction for r in there)]),
        "repetition": max([0.1, *(r.repetition for r in there)]),
        "nll": max([0.1, *(2 * r.nll for r in there if math.isfinite(r.nll) and r.coherent)]),
    }
    columns = []
    for dose, reading, text in zip(doses, readings, texts, strict=True):
        in_band = band is not None and band[0] <= dose <= band[1]
        columns.append(_column(dose, reading, text, tops, in_band=in_band, finished=finished))
        columns[-1] |= _labels(dose, resid_norm, by_share)
    units = ["% of norm", "× unit"] if by_share else ["× unit", "% of norm" if resid_norm else ""]
    return {"doses": columns, "units": units}


def _column(
    dose: float,
    reading: DoseReading | None,
    text: str,
    tops: Mapping[str, float],
    *,
    in_band: bool,
    finished: bool,
) -> dict[str, object]:
    values = {name: getattr(reading, name) if reading else math.nan for name in tops}
    shown = {
        "fraction": f"{values['fraction']:.1%}",
        "repetition": f"{values['repetition']:.0%}",
        "nll": f"{values['nll']:.2f}",
    }
    bars = {
        name: {
            "shown": shown[name] if math.isfinite(value) else "",
            "share": round(min(value / tops[name], 1.0) * 0.62, 3) if math.isfinite(value) else 0,
        }
        for name, value in values.items()
    }
    coherent = bool(reading and reading.coherent)
    told = f"dose {dose:g}, wait or hmm {shown['fraction']}, repetition {shown['repetition']}, NLL {shown['nll']}"
    return bars | {
        "told": f"{told}, {'coherent' if coherent else 'not coherent'}",
        "coherent": coherent or not finished,
        "inBand": in_band,
        "state": "done" if reading is not None and finished else "waiting" if reading is None else "writing",
        "note": _note(reading) if reading and finished else "",
        "text": text[:SNIPPET],
    }


def _note(reading: DoseReading) -> str:
    """Why a dose is striped; "" where it is not."""
    return f"no evidence: {reading.no_evidence}" if reading.no_evidence else "; ".join(reading.faults)


def _labels(dose: float, resid_norm: float, by_share: bool) -> dict[str, str]:
    size = f"{dose:+.3g}" if dose else "0"
    share = f"{100 * dose / resid_norm:+.0f}%" if resid_norm and dose else "0%"
    if by_share:
        return {"label": share, "other": size if dose else "unsteered"}
    return {"label": size, "other": (share if resid_norm else "") if dose else "unsteered"}


def _take_pick(key: str, doses: Sequence[float], on_pick: Callable[[float], None]) -> None:
    event = st.session_state[key].get("pick")
    index = event.get("index") if isinstance(event, Mapping) else None
    if isinstance(index, int) and 0 <= index < len(doses):
        on_pick(doses[index])
