"""What a run leaves behind for people: report.json, and report.html made from it."""
