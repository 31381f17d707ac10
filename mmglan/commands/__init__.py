"""The commands, one module each: `main(arguments)` gives the exit status."""
