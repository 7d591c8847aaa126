"""Errors between the log and a view.

Errors:
    ProjectionError
    ├── DeclarationError       a view is declared wrongly; found when its module is imported
    ├── FoldFailed             a fold raised on an event, or its row cannot be stored: the same every time
    ├── CheckpointConflict     somebody else wrote this build; start again from what is stored
    ├── BuildContradicted      the log does not hold the event at a build's checkpoint: rebuild it
    ├── NoSuchBuild            no such view, shape or build
    ├── BuildRefused           the build is not in a state that allows what was asked
    │   └── BuildBehind        not yet: the workers have still to bring it to where the live build is
    ├── ViewDiffers            the stored rows are not what the log makes of them
    └── NotCaughtUp            a build did not reach the position waited for in time
"""


class ProjectionError(Exception):
    """A view cannot be declared, built or kept."""


class DeclarationError(ProjectionError):
    """A view is declared wrongly."""


class FoldFailed(ProjectionError):
    """An event cannot be folded into a view's row, or the row not be stored; trying again gives the same."""

    def __init__(self, *, view: str, partition_key: str, position: int, reason: str) -> None:
        """Name the view, the partition key, the event's position and why in one line."""
        super().__init__(
            f"view {view}, key {partition_key}: the event at position {position} fails: {reason}"
        )
        self.view = view
        self.partition_key = partition_key
        self.position = position
        self.reason = reason


class CheckpointConflict(ProjectionError):
    """A checkpoint is not where this worker left it: another worker or a request moved it."""


class BuildContradicted(ProjectionError):
    """The log does not hold what a build's checkpoint says it folded."""


class NoSuchBuild(ProjectionError):
    """The view, its shape or its build does not exist."""


class BuildRefused(ProjectionError):
    """The build is not in a state that allows what was asked."""


class BuildBehind(BuildRefused):
    """The build does not hold yet what the live one does."""

    def __init__(self, build: object, *, position: int, live: int) -> None:
        """Name the build, where it stands, and where the live one does."""
        super().__init__(f"{build} stands at {position}, the live build at {live}: wait for the workers")
        self.position = position
        self.live = live


class ViewDiffers(ProjectionError):
    """The stored rows of a build are not what the log makes of them."""


class NotCaughtUp(ProjectionError):
    """A build did not reach the position waited for in time."""
