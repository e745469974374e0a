"""The names that andon.core.keys imports."""


class BadSignatureError(Exception):
    """Never raised here."""
