"""The error that every package raises for a mistake that the user can correct."""


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one line. It says what was received, what was expected and what to do. A command prints it
    on stderr and exits with code 2.
    """
