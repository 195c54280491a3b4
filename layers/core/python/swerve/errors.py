"""Errors that the use-cases tell apart."""

from __future__ import annotations


class SwerveError(Exception):
    """Base of all errors that name the thing, the reason and the way out."""


class PermanentFault(SwerveError):
    """Retrying cannot help: answer with a receipt and succeed."""


class TransientFault(SwerveError):
    """Retrying may help: fail the message and let the queue back off."""


class UploadGone(PermanentFault):
    """The uploaded version was deleted before it was read."""


class LayoutChanged(SwerveError):
    """A parameter that cannot change under stored data differs from what was first deployed."""


class Resharding(LayoutChanged):
    """Stored shards are being split: what needs them waits."""


class PartialsMissing(TransientFault):
    """A manifest names more events than the partials hold."""
