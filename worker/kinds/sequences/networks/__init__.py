"""Next-event networks: modules that learners train, written so that a gradient can be taken of their gradient."""
