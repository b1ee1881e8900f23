"""Methods that make or judge condensed graphs, one a file."""
