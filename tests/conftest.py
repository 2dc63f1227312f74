"""What every test shares: how long hypothesis may search."""

from hypothesis import settings

# No deadline: two busy cores make honest code slow now and then. The number of examples keeps the suite short.
settings.register_profile("house", deadline=None, max_examples=60, print_blob=True)
settings.load_profile("house")
