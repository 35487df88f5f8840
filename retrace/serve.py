"""The server of the pages. What the first visitor would wait for is read while it starts.

python -m retrace.serve [--share] [--server.port 8501 --server.headless true]: the flags of `streamlit run`. With
`--share` other machines may use it too, with a password (`retrace/room.py`).
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Sequence

from core import settings

FIRST = ("ui.shell.frame", "ui.home.experiment", "ui.home.live", "ui.home.trainings")
"""What the first page imports, and with it altair and pandas; of models and torch nothing."""

SHARE = "--share"


def main(flags: Sequence[str]) -> None:
    """Start the pages and stay until they are ended."""
    os.chdir(settings.PROJECT)
    script = settings.PROJECT / "app.py"
    threading.Thread(target=warm, name="warm", daemon=True).start()
    if SHARE in flags:
        from retrace.room import serve_room

        serve_room(script, [flag for flag in flags if flag != SHARE])
        return
    from streamlit.web import cli

    sys.argv = ["streamlit", "run", str(script), *flags]
    cli.main(prog_name="streamlit")


def warm() -> None:
    """Import what pages draw with, open the bundle that sessions begin with, and draw the charts of Home once."""
    for name in FIRST:
        importlib.import_module(name)
    from core.embedded import recorded_experiment
    from ui.figures.catalogue import drawings
    from ui.shell.state import keep_first_bundle

    keep_first_bundle()
    outcome = recorded_experiment()
    for drawing in drawings(outcome, "fig3") if outcome is not None else ():
        drawing.chart.to_dict()


if __name__ == "__main__":
    main(sys.argv[1:])
