"""Folds are attached to their views where the contexts are declared, also for tests of one folder that runs alone."""

import counterfoil.contexts  # noqa: F401 - for what it attaches
