"""Hypothesis with the same examples in every run; a failure prints the blob that repeats it."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit",
    derandomize=True,
    print_blob=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],  # the machine's load is no property of the code
)
settings.load_profile("unit")
