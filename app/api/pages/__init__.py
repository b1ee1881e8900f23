"""The pages that the service itself shows: plain HTML of its own, without scripts and without foreign requests."""
