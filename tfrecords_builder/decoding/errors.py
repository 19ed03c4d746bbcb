"""The error of every decoder."""


class UnreadableImage(ValueError):
    """The bytes are not an image that this project reads; the message says why, in one line."""
