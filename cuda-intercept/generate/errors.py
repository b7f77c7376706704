"""What can go wrong while tables and glue are made from the headers."""


class GenerateError(Exception):
    """Base of every error here; its text is meant for the person who ran it."""


class HeaderError(GenerateError):
    """A header is missing, or does not look as the parser expects."""


class ClassificationError(GenerateError):
    """A symbol has no class, two classes, or is in no header any more."""


class DriftError(GenerateError):
    """A committed output differs from what would be written now."""
