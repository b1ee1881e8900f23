"""Networks of graphs in plain torch, written so that double backward works through them."""
