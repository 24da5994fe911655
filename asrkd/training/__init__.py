"""Frame-by-frame training: one verb for teacher, student and hard-label baseline."""
