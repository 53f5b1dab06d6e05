"""Layer 0: configuration, identifiers, errors, limits and clocks. Knows nothing of the rest."""
