"""What embedded mode fails with."""

from __future__ import annotations


class EmbeddedError(Exception):
    """A start or stop that cannot succeed; the text is one sentence that tells the user what to do."""
