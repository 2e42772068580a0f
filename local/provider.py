"""Who answers as the model: a provider that the environment has a key for, or the scripted model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Which provider a key in the environment means, the first one that is set.
KEYS: Mapping[str, str] = {
    "OPENAI_API_KEY": "openai",
    "GEMINI_API_KEY": "gemini",
    "GROQ_API_KEY": "groq",
    "ANTHROPIC_API_KEY": "anthropic",
}
_PASSED_ON = ("RILL_MODEL_", "RILL_ALLOW_UNPRICED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who answers as the model.

    Attributes:
        name: as in RILL_MODEL_PROVIDER.
        variables: what the functions get to know of it, beside the address of a scripted model.
        why: what decided it, for the one line that says who answers.
    """

    name: str
    why: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def scripted(self) -> bool:
        return self.name == "scripted"

    @property
    def sentence(self) -> str:
        if self.scripted:
            return f"The model is scripted and answers by plain rules ({self.why})."
        return f"The model is {self.name}'s ({self.why}); its calls cost money. --scripted does without."


def choose_provider(env: Mapping[str, str], *, scripted: bool = False) -> Provider:
    """Who answers: what the environment names or has a key for, or else the scripted model."""
    if scripted:
        return Provider(name="scripted", why="--scripted")
    passed = {key: value for key, value in env.items() if key.startswith(_PASSED_ON)}
    if (named := env.get("RILL_MODEL_PROVIDER")) and named != "scripted":
        keys = {key: env[key] for key, provider in KEYS.items() if provider == named and env.get(key)}
        return Provider(
            name=named, why="RILL_MODEL_PROVIDER is set", variables={"RILL_MODEL_URL": "", **passed, **keys}
        )
    if not named:
        for key, provider in KEYS.items():
            if value := env.get(key):
                variables = {"RILL_MODEL_URL": "", **passed, "RILL_MODEL_PROVIDER": provider, key: value}
                return Provider(name=provider, why=f"{key} is set", variables=variables)
    return Provider(
        name="scripted", why="no key needed; OPENAI_API_KEY or another provider's brings a real one"
    )
