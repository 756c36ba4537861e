"""What holds for every test."""

from hypothesis import settings

# A busy machine makes any example slow now and then; how long tests take is bounded by pytest's own timeout.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
