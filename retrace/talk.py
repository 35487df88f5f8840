"""`talk`: the talk as one HTML file, from the store. No model, no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.disk import files
from core.errors import BadInput, UserFacingError
from core.text.lines import kept_line
from retrace.console import Console, emit
from retrace.session import Stop, opened

SUFFIX = ".html"


def talk(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Write the file. Raises BadInput where the talk is empty or damaged, UserFacingError when the disk refuses it."""
    out: Path = args.out
    if out.suffix != SUFFIX:
        raise BadInput(f"{out.name!r} is no name for a page.", f"Let it end in {SUFFIX}.")
    if not out.absolute().parent.is_dir():
        raise BadInput(f"There is no folder {str(out.absolute().parent)!r}.", "Name a file in a folder that is there.")
    with opened(args.cache, console, stop) as session:
        found = session.bench.talk.read()
        if not found.items:
            raise BadInput("The talk is empty.", "Add comparisons and figures to it on the pages first.")
        from ui.components.stage import SaidSlide, stage_html
        from ui.talk.slides import slides_of

        slides = slides_of(session.bench, found)
        page = stage_html(slides, title=kept_line(args.title, 200) or "Talk")
    try:
        files.write_whole(out.absolute(), page.encode("utf-8", "replace"))
    except OSError as error:
        raise UserFacingError(
            f"The talk {out.name!r} could not be written: {files.refusal_of(error)}.",
            "Free some space, or write it to another folder.",
        ) from error
    gone = [slide.title for slide in slides if isinstance(slide, SaidSlide)]
    emit({"file": str(out), "slides": len(slides), "bytes": len(page), "not_stored": gone}, indent=1)
