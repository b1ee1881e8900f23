"""Learning a policy from logged decisions, and choosing among learnt policies without trying them out."""
