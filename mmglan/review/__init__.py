"""Looking at findings, correcting them, and what becomes of the corrections."""
