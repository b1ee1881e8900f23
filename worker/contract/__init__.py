"""What a kind of data, a method, a learner or a plug-in imports, and all that it may know of the machinery around it."""
