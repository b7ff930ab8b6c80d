"""What goes wrong with run directories."""


class RunError(RuntimeError):
    """A run directory that cannot be used as it was asked for; nothing was changed."""
