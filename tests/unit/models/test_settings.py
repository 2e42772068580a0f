"""Settings and catalogue: what is refused, and what a call costs."""

from datetime import date

import pytest

from rill.models.catalogue import Catalogue, Price, bundled
from rill.models.settings import ModelSettings, ModelSettingsError


def test_the_default_is_openai_with_its_key() -> None:
    settings = ModelSettings.from_env({"OPENAI_API_KEY": "sk-secret"})
    assert settings.provider == "openai"
    assert settings.base_url == "https://api.openai.com/v1"
    assert settings.api_key == "sk-secret"
    assert "sk-secret" not in repr(settings)
    assert settings.tiers["small"].name != settings.tiers["large"].name


def test_models_and_address_can_be_set() -> None:
    settings = ModelSettings.from_env(
        {
            "RILL_MODEL_PROVIDER": "openai",
            "RILL_MODEL_URL": "http://127.0.0.1:1/v1/",
            "RILL_MODEL_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:1:secret:x",
            "RILL_MODEL_SMALL": "gpt-5-mini",
            "RILL_MODEL_FIRST_TOKEN_TIMEOUT": "7",
            "RILL_MODEL_IDLE_TIMEOUT": "2.5",
        }
    )
    assert settings.base_url == "http://127.0.0.1:1/v1"
    assert settings.tiers["small"].name == "gpt-5-mini"
    assert (settings.first_token_timeout, settings.idle_timeout) == (7.0, 2.5)
    assert settings.secret_arn


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"RILL_MODEL_PROVIDER": "nobody"}, "'nobody'; it can be anthropic, custom, gemini"),
        ({}, "neither RILL_MODEL_SECRET_ARN nor OPENAI_API_KEY is set"),
        ({"RILL_MODEL_PROVIDER": "scripted"}, "RILL_MODEL_URL is not set"),
        ({"RILL_MODEL_PROVIDER": "custom", "RILL_MODEL_URL": "http://x"}, "RILL_MODEL_SMALL is not set"),
        ({"OPENAI_API_KEY": "k", "RILL_MODEL_LARGE": "gpt-99"}, "'gpt-99' has no price"),
        ({"OPENAI_API_KEY": "k", "RILL_MODEL_IDLE_TIMEOUT": "soon"}, "RILL_MODEL_IDLE_TIMEOUT is 'soon'"),
        ({"OPENAI_API_KEY": "k", "RILL_MODEL_IDLE_TIMEOUT": "0"}, "a number of seconds up to 900"),
    ],
)
def test_a_wrong_setting_is_named(env: dict[str, str], said: str) -> None:
    with pytest.raises(ModelSettingsError) as caught:
        ModelSettings.from_env(env)
    assert said in str(caught.value)


def test_a_model_without_a_price_can_be_allowed() -> None:
    env = {"OPENAI_API_KEY": "k", "RILL_MODEL_LARGE": "gpt-99", "RILL_ALLOW_UNPRICED": "true"}
    assert ModelSettings.from_env(env).tiers["large"].price is None


def test_cached_tokens_cost_what_cached_tokens_cost() -> None:
    price = Price(input=2.0, cached=0.5, output=8.0, priced_on="2025-10-01")
    assert price.cost(1_000_000, 0) == 2.0
    assert price.cost(1_000_000, 1_000_000, cached_tokens=500_000) == 1.0 + 0.25 + 8.0
    assert price.cost(0, 1) == 0.000008


def test_every_tier_of_the_catalogue_has_a_price_with_a_date() -> None:
    catalogue = bundled()
    for provider in catalogue.providers.values():
        for name in provider.tiers.values():
            price = catalogue.model(provider.name, name).price
            assert price is not None, name
            assert date.fromisoformat(price.priced_on) < date.today()
            assert price.output >= price.input >= price.cached


def test_a_catalogue_of_another_shape_is_refused() -> None:
    with pytest.raises(TypeError):
        Catalogue({"providers": [], "models": {}})
