"""What another policy would have earned with slates: lists of items shown together."""
