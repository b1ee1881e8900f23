"""The methods of the kind `interactions`, one file each."""
