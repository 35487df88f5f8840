"""The two models on screen: what they are called, and the colour that each has in every chart."""

from __future__ import annotations

from core.models.pair import Role
from ui.components.colours import BLUE, ORANGE

NAMES: dict[Role, str] = {"base": "base model", "reasoner": "reasoning model"}
"""Within a sentence."""
TITLES: dict[Role, str] = {role: name.capitalize() for role, name in NAMES.items()}
"""At the beginning of one, and as an option."""
SHORT: dict[Role, str] = {role: title.removesuffix(" model") for role, title in TITLES.items()}
"""Where the word "model" stands beside it already."""
COLOURS: dict[Role, str] = {"base": BLUE, "reasoner": ORANGE}
"""The same in the light and the dark theme; what a model is the source of has its colour too."""
REASONER_FIRST: tuple[Role, Role] = ("reasoner", "base")
"""The order of choices whose usual answer is the reasoning model."""
