"""The search for rows that fast stand-ins of all learners learn well from."""
