"""Errors of the command line.

CliError
└── UnreadableObject   an object of the cluster that concerns us is not what its API says
"""


class CliError(Exception):
    """Base of everything this package raises."""


class UnreadableObject(CliError):
    """The message names the object, what was found and what was wanted."""
