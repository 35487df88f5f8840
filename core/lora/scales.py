"""Rank and scale of each module that an adapter changes, from the numbers and patterns of its config."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from core.lora.refusals import refused, shown

MAX_RANK, MAX_WILDCARDS, MAX_NAME = 2**16, 64, 300

_WILDCARD = re.compile(r"(?P<start>\^|\.\*(?:\\?\.)?)?(?P<rest>(?:[\w-]|\\?\.|\\d\+(?!\d|\\d))+)\$?", re.ASCII)
"""Patterns that are read: a name with its dots escaped or not, `\\d+` for numbers in it, `.*` or `^` before it."""


class Scales:
    """Rank and scale by module: of the first pattern that fits the module's name, else of the whole adapter."""

    def __init__(self, name: str, config: Mapping[str, object]) -> None:
        self._name = name
        self._rank = _number(name, "r", config.get("r"))
        self._alpha = _number(name, "lora_alpha", config.get("lora_alpha"))
        self._ranks = _Patterns(name, "rank_pattern", config.get("rank_pattern"))
        self._alphas = _Patterns(name, "alpha_pattern", config.get("alpha_pattern"))
        self._root = config.get("use_rslora") is True

    def rank(self, module: str) -> int:
        """The rank that the config gives the module."""
        rank = self._ranks.value(module, self._rank)
        if rank != int(rank) or not 1 <= rank <= MAX_RANK:
            raise refused(self._name, f"has the rank {rank:g}, which is none")
        return int(rank)

    def scale(self, module: str) -> float:
        """The factor of the product: alpha / rank, or alpha / √rank with rsLoRA."""
        rank = self.rank(module)
        return self._alphas.value(module, self._alpha) / (math.sqrt(rank) if self._root else rank)


class _Patterns:
    """Numbers by module name: whole names or their ends, and names with wildcards; the first that fits counts."""

    def __init__(self, name: str, option: str, given: object) -> None:
        if given is not None and not isinstance(given, dict):
            raise refused(name, f"has a {option} that is no object")
        self._ends: dict[str, tuple[int, float]] = {}
        self._wild: list[tuple[int, re.Pattern[str], float]] = []
        for place, (pattern, value) in enumerate((given or {}).items()):
            number = _number(name, option, value)
            if re.fullmatch(r"[\w.-]+", pattern, re.ASCII):
                self._ends[pattern] = (place, number)
            else:
                self._wild.append((place, _compiled(name, option, pattern), number))
        if len(self._wild) > MAX_WILDCARDS:
            raise refused(name, f"has {len(self._wild)} wildcards in {option}; at most {MAX_WILDCARDS} are read")

    def value(self, module: str, default: float) -> float:
        """The number for a module, or the default."""
        parts = module.split(".")
        ends = (".".join(parts[i:]) for i in range(len(parts)))
        found = [self._ends[end] for end in ends if end in self._ends]
        found += [(place, number) for place, pattern, number in self._wild if pattern.search(module)]
        return min(found)[1] if found else default


def _compiled(name: str, option: str, pattern: str) -> re.Pattern[str]:
    """A pattern of PEFT, which has to fit the end of a module's name. Only forms that cannot take long are read."""
    read = _WILDCARD.fullmatch(pattern) if len(pattern) <= MAX_NAME else None
    if read is None:
        raise refused(name, f"has the pattern {shown(pattern)} in {option}, which is not read")
    begin = {"^": "^", ".*": ""}.get(read["start"] or "", r"(?:^|\.)")
    return re.compile(begin + re.sub(r"\\?\.", r"\\.", read["rest"]) + "$")


def _number(name: str, option: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise refused(name, f"has {option} = {shown(value)}, which is no positive number")
    return float(value)
