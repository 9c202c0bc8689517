"""Recording, scoring and reporting: what bags say about a setting of the dial."""
