"""What a report shows of images beside what every kind's report has."""
