"""What a target policy gains over the logging policy, and whether the log can prove it."""
