"""When and on what a shown result was measured, which is no part of its key: in words."""

from __future__ import annotations

import time

from core.disk.parts import HEAD
from ui.components.safe_text import plain
from ui.shell.state import workbench


def measured(kind: str, spec: object) -> str:
    """Such as "Measured on cuda, NVIDIA H100, 26 Nov 2026"; "" where the store does not hold the result."""
    stamp = workbench().store.stamp(kind, spec, part=HEAD)
    if stamp is None:
        return ""
    where = [plain(stamp.measured[name], 60) for name in ("device", "card") if name in stamp.measured]
    day = time.strftime("%d %b %Y", time.localtime(stamp.saved_at)).lstrip("0")
    return f"Measured on {', '.join((*where, day))}"


def said_of(kind: str, spec: object) -> str:
    """The same as the end of a sentence, after a comma."""
    words = measured(kind, spec)
    return f", {words[0].lower()}{words[1:]}" if words else ""
