"""A pass over traces in parts, each read by a worker; what they come to lies on the shelf as if one had read all."""

from __future__ import annotations

from collections.abc import Generator

from core.disk import codec
from core.extraction.merging import Material, merged, shares
from core.extraction.moments import Moments, MomentsSpec, is_large
from core.extraction.shelf import MomentShelf
from core.fleet.foreman import Foreman, Order, model_key
from core.fleet.hands import Task
from core.jobs import Progress, rest

LOOK_EVERY = 0.1
PARTS_EACH = 4
"""Parts for each worker, so that none waits long for the last."""


def gather(
    foreman: Foreman, shelf: MomentShelf, spec: MomentsSpec, material: Material, *, d_model: int
) -> Generator[Progress, None, None]:
    """Put the sums of the spec on the shelf, unless they lie there, a pass of them was begun here, or they are so large
    that they are kept layer by layer: then one process reads all traces.

    Raises BadInput where no trace can be read, and what `Foreman` raises.
    """
    if is_large(spec, d_model) or shelf.get(spec) is not None or shelf.unfinished(spec) is not None:
        return
    read, n_traces = codec.dump(material), len(material.traces)
    parts = shares(n_traces, PARTS_EACH * foreman.n_workers)
    model, data = model_key(spec.model, spec.fingerprint), codec.dump(spec)
    todo = [
        Order(key=f"part {i}", model=model, task=Task(does="sums", data=data, more=(codec.dump(share), read)))
        for i, share in enumerate(parts)
    ]
    done: dict[str, Moments] = {}
    while len(done) < len(parts):
        while todo and foreman.give(todo[0], changing=True):
            todo.pop(0)
        new = foreman.take()
        done |= {key: codec.load(Moments, found) for key, found in new.items()}
        n_read = sum(part.n_traces for part in done.values())
        message = f"reading trace {n_read} of {n_traces} with {spec.model.name}, {foreman.where}"
        yield from rest(Progress(n_read, n_traces, message), 0.0 if new else LOOK_EVERY)
    shelf.put(merged([done[f"part {i}"] for i in range(len(parts))]))
