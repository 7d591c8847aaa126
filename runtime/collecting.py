"""How often the garbage collector of a process looks for cycles among young objects.

Nearly everything that a request or a batch makes is freed when its last reference goes. The default, a look after every
700 objects, costs a process that holds thousands of events or states at once a fifth of its time and finds nothing.
"""

import gc
from typing import Final

YOUNG_OBJECTS_MAX: Final = 50_000
"""Objects that may gather between two looks: some ten megabytes at most, if all of them were part of cycles."""


def collect_seldom() -> None:
    """Run less often from now on; older objects are collected as rarely, in proportion, as before."""
    _, *older = gc.get_threshold()
    gc.set_threshold(YOUNG_OBJECTS_MAX, *older)
