"""The learners that judge summaries of interactions, one file each."""
