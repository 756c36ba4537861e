"""What holds for every test."""

import os

from hypothesis import settings

# A busy machine makes any example slow now and then; how long tests take is bounded by pytest's own timeout. CI tries
# the same examples every time, so that a change is judged by itself alone; elsewhere every run tries others.
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("house")
