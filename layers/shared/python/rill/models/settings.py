"""Which provider, key and models a function uses: from its environment, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rill.errors import RillError
from rill.models.catalogue import Catalogue, Model, Tier, bundled


class ModelSettingsError(RillError):
    """The function is not set up right; the sentence is for whoever deploys it."""

    default_message = "The model is not set up."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How to reach the models.

    Attributes:
        api_key: the key itself, kept out of `repr`; empty where the endpoint wants none.
        secret_arn: of a Secrets Manager secret that holds the key, read on the first call.
        tiers: the model of each tier.
        first_token_timeout: seconds to the first piece of the answer, retries and their pauses counted.
        idle_timeout: seconds without a byte inside an answer.
        retries: how often a call is tried again before its first token, beside the first time.
        max_output_tokens: where a runaway answer is cut.
    """

    provider: str
    base_url: str
    tiers: Mapping[Tier, Model]
    api_key: str = field(default="", repr=False)
    secret_arn: str = ""
    first_token_timeout: float = 120.0
    idle_timeout: float = 60.0
    retries: int = 3
    max_output_tokens: int = 16_384

    @classmethod
    def from_env(cls, env: Mapping[str, str], catalogue: Catalogue | None = None) -> "ModelSettings":
        """Settings by `RILL_MODEL_*` and the provider's key variable.

        Raises:
            ModelSettingsError: an unknown provider, no address, no key, or a model without a price.
        """
        known = catalogue or bundled()
        name = env.get("RILL_MODEL_PROVIDER") or "openai"
        provider = known.providers.get(name)
        if provider is None:
            listed = ", ".join(sorted(known.providers))
            raise _wrong(f"RILL_MODEL_PROVIDER is {name!r}; it can be {listed}")
        base_url = env.get("RILL_MODEL_URL") or provider.base_url
        if not base_url:
            raise _wrong(f"RILL_MODEL_URL is not set; the provider {name!r} needs it")
        api_key = env.get("RILL_MODEL_KEY") or (env.get(provider.key, "") if provider.key else "")
        secret_arn = env.get("RILL_MODEL_SECRET_ARN", "")
        if provider.key and not api_key and not secret_arn:
            raise _wrong(f"neither RILL_MODEL_SECRET_ARN nor {provider.key} is set")
        tiers: dict[Tier, Model] = {
            "small": _model(env, known, name, "small"),
            "large": _model(env, known, name, "large"),
        }
        return cls(
            provider=name,
            base_url=base_url.rstrip("/"),
            tiers=tiers,
            api_key=api_key,
            secret_arn=secret_arn,
            first_token_timeout=_seconds(env, "RILL_MODEL_FIRST_TOKEN_TIMEOUT", 120.0),
            idle_timeout=_seconds(env, "RILL_MODEL_IDLE_TIMEOUT", 60.0),
        )


def _model(env: Mapping[str, str], catalogue: Catalogue, provider: str, tier: Tier) -> Model:
    variable = f"RILL_MODEL_{tier.upper()}"
    name = env.get(variable) or catalogue.providers[provider].tiers.get(tier)
    if not name:
        raise _wrong(f"{variable} is not set; the provider {provider!r} has no model of its own for it")
    model = catalogue.model(provider, name)
    if model.price is None and env.get("RILL_ALLOW_UNPRICED", "").lower() != "true":
        raise _wrong(
            f"{name!r} has no price in the catalogue; RILL_ALLOW_UNPRICED=true allows it all the same"
        )
    return model


def _seconds(env: Mapping[str, str], variable: str, default: float) -> float:
    text = env.get(variable)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 900:
        raise _wrong(f"{variable} is {text!r}; it has to be a number of seconds up to 900")
    return seconds


def _wrong(detail: str) -> ModelSettingsError:
    return ModelSettingsError(detail=detail)
