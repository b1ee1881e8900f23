"""From measurements to a report: statistics, tables, plots, verdict."""
