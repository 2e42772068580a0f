"""Settings for all tests."""

from hypothesis import Phase, settings

# The gate's examples are the same on every run; `--hypothesis-profile=thorough` looks for new ones.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile(
    "thorough",
    max_examples=2000,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("gate")
