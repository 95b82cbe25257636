"""The activity of a process: counters, metrics, logs, reports. Knows no registry."""
