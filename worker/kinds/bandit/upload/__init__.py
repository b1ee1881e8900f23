"""From the files a stranger uploaded to a log's parts in memory, checked: one file per part."""
