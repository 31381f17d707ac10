"""The files that findings are written to, one module per format."""
