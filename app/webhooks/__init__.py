"""Telling other services what happened: messages as Standard Webhooks has them, kept as rows until delivered."""
