"""Under which name the result of each kind of spec is stored, and of which type it is."""

from core.attribution import corpus, readouts
from core.attribution import values as attribution
from core.extraction import values as extraction
from core.labelling import judge
from core.runs import cells
from core.runs import values as runs
from core.values import Kinds

KINDS: Kinds = {
    **attribution.KINDS,
    **corpus.KINDS,
    **readouts.KINDS,
    **extraction.KINDS,
    **judge.KINDS,
    **cells.KINDS,
    **runs.KINDS,
}
