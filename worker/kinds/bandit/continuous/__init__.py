"""What another policy would have earned with continuous actions: doses, bids, prices."""
