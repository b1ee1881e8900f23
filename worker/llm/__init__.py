"""Language models that answer yes or no, or write text: from a directory on this machine, or over HTTP."""
