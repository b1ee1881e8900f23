"""From a log and target policies to estimates, and from estimates to evidence."""
