"""Layer 5: the command line. Modules here import heavy things inside functions, so that `--help` answers at once."""
