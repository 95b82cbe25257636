"""What a process has done and is doing: counters, metrics, logs, reports. Knows no registry."""
