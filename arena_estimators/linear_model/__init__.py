"""Linear models of preference."""
