"""Which models there are, what they cost, what they can: read from `catalogue.json`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Tier = Literal["small", "large"]
PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD per million tokens, as the provider listed them on `priced_on`."""

    input: float
    cached: float
    output: float
    priced_on: str

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """What one call costs in USD; `cached_tokens` are a part of `input_tokens`."""
        fresh = input_tokens - cached_tokens
        spent = fresh * self.input + cached_tokens * self.cached + output_tokens * self.output
        return round(spent / PER_MILLION, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model at a provider.

    Attributes:
        price: None where the catalogue has none.
        schema: whether the provider holds answers to a strict JSON schema.
    """

    provider: str
    name: str
    price: Price | None
    schema: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An OpenAI-compatible endpoint; `key` names the environment variable of its API key."""

    name: str
    base_url: str | None
    key: str | None
    tiers: dict[str, str]


class Catalogue:
    """Looks models up.

    Args:
        document: as in `catalogue.json`.
    """

    def __init__(self, document: dict[str, object]) -> None:
        providers = document["providers"]
        models = document["models"]
        if not isinstance(providers, dict) or not isinstance(models, list):
            raise TypeError("a catalogue has an object of providers and a list of models")
        self.providers = {name: Provider(name=name, **given) for name, given in providers.items()}
        self._models = {(entry["provider"], entry["name"]): entry for entry in models}

    def model(self, provider: str, name: str) -> Model:
        """The model of that name; one that the catalogue does not list has no price."""
        entry = self._models.get((provider, name)) or self._models.get((provider, "*"))
        if entry is None:
            return Model(provider=provider, name=name, price=None, schema=True)
        price = Price(**{key: entry[key] for key in ("input", "cached", "output", "priced_on")})
        return Model(provider=provider, name=name, price=price, schema=entry["schema"])


@cache
def bundled() -> Catalogue:
    """The catalogue that comes with Rill."""
    return Catalogue(json.loads(Path(__file__).with_name("catalogue.json").read_text()))
