"""Forms in which documents with labels are uploaded, one file a form; each reads into `Found`."""
