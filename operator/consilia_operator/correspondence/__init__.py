"""What hub and hospital write to each other over the log, where the hospital has a cluster of its own."""
