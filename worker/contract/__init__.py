"""What a kind of data, a method, a learner or a plug-in imports, and all it may know of what runs it."""
