"""From a raw scan to findings: detection on whole volumes and the files that hold the result."""
