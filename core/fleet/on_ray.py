"""Workers that are Ray actors. The only module that imports Ray, when it is asked to; the package is optional.

Ray ships no weights: every host finds the models itself, in its hub cache or in a shared folder, and the digests are
compared. Ray's own statistics are off.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from core import settings
from core.errors import BadInput
from core.fleet.hands import Answer, Task
from core.fleet.values import AUTO, FleetSpec

REQUIREMENTS = "requirements-ray.txt"
KNOCK_SECONDS = 5.0
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_GOES_ALONG = (settings.MODEL_ROOTS, "HF_HOME", "HF_HUB_OFFLINE")
"""Variables of the driver that workers get; no key is among them."""


@contextlib.contextmanager
def ray_fleet(spec: FleetSpec) -> Iterator[RayHands]:
    """The workers, for as long as the block runs. Raises BadInput where Ray is missing or does not answer."""
    check_installed()
    os.environ.update(_QUIET)
    _connect(spec)
    hands: RayHands | None = None
    try:
        _check_room(spec)
        hands = RayHands(spec)
        yield hands
    finally:
        _leave(hands)


def is_installed() -> bool:
    """Whether Ray is there."""
    return importlib.util.find_spec("ray") is not None


def check_installed() -> None:
    """Raise BadInput where Ray is not there."""
    if not is_installed():
        raise BadInput(
            "Ray is not installed.",
            f"Install it with `pip install -r {REQUIREMENTS}`, or leave --ray out: --workers works without it.",
        )


def _connect(spec: FleetSpec) -> None:
    """Join the cluster; `auto` without one begins one of this machine, which ends with this process."""
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "namespace": "retrace", "runtime_env": _environment()}
    if spec.address != "local":
        try:
            _knock(spec.address)
            ray.init(address=spec.address, **options)
            return
        except (ConnectionError, OSError, ValueError, RuntimeError) as error:
            if "version" in str(error).lower():
                raise BadInput(
                    "The cluster runs another version of Ray or Python.",
                    f"Install the one of {REQUIREMENTS} on every host: {str(error).splitlines()[0][:200]}",
                ) from error
            if spec.address != AUTO:
                raise BadInput(
                    f"No Ray cluster answers at {spec.address}.",
                    "Start one with `ray start --head`, or name the address that it tells.",
                ) from error
    cores = os.cpu_count() or 1
    ray.init(address="local", num_cpus=max(cores, spec.workers), include_dashboard=False, **options)


def _check_room(spec: FleetSpec) -> None:
    """Raise BadInput where the cluster has fewer cards or cores than the workers take: they would wait for ever."""
    import ray

    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, what, asked in (("GPU", "cards", spec.gpus * spec.workers), ("CPU", "cores", float(spec.workers))):
        there = has.get(name, 0.0)
        if asked > there:
            raise BadInput(
                f"{spec.workers} workers take {asked:g} {what}; the cluster has {there:g}.",
                "Ask for fewer workers, or add hosts to the cluster.",
            )


def _leave(hands: RayHands | None) -> None:
    """End the workers, and a cluster that was begun here."""
    import ray

    if hands is not None:
        hands.close()
    ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens there: Ray itself would wait for minutes. Raises OSError."""
    if address != AUTO:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()


def _environment() -> dict[str, dict[str, str]]:
    """What the processes of workers are told: where the project is, and where models are."""
    path = os.pathsep.join(filter(None, (str(settings.PROJECT), os.environ.get("PYTHONPATH", ""))))
    told = {name: os.environ[name] for name in _GOES_ALONG if name in os.environ}
    return {"env_vars": {"PYTHONPATH": path, **_QUIET, **told}}


class RayHands:
    """Actors by number, each in a process of its own, with its own card or core."""

    def __init__(self, spec: FleetSpec) -> None:
        self._spec = spec
        self._tickets: dict[Any, int] = {}
        """By what Ray gives for a task."""
        self._actors = {number: self._begin() for number in range(spec.workers)}

    @property
    def n_workers(self) -> int:
        return self._spec.workers

    def _begin(self) -> Any:
        import ray

        from core.fleet.member import Member

        on_card = self._spec.gpus > 0
        actor = ray.remote(Member).options(num_cpus=1, num_gpus=self._spec.gpus, max_restarts=0)
        return actor.remote(device="cuda" if on_card else "")

    def give(self, worker: int, ticket: int, task: Task) -> None:
        self._tickets[self._actors[worker].do.remote(ticket, task)] = ticket

    def answers(self, seconds: float) -> Sequence[Answer]:
        import ray

        if not self._tickets:
            return ()
        ready, _ = ray.wait(list(self._tickets), num_returns=1, timeout=seconds)
        more, _ = ray.wait(list(self._tickets), num_returns=len(self._tickets), timeout=0) if ready else ([], [])
        return [self._answer(reference) for reference in more or ready]

    def _answer(self, reference: Any) -> Answer:
        import ray

        ticket = self._tickets.pop(reference)
        try:
            answer: Answer = ray.get(reference)
        except ray.exceptions.RayError as error:
            return Answer(ticket=ticket, outcome="lost", why=type(error).__name__)
        return answer

    def renew(self, worker: int) -> None:
        self._actors[worker] = self._begin()

    def close(self) -> None:
        import ray

        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                ray.kill(actor)
        self._actors.clear()
        self._tickets.clear()
