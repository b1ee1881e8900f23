"""What an upload of a graph may look like: one file a layout, all of which become a `RawGraph`."""
