"""What another policy would have earned over trajectories, where a decision changes what comes after it."""
