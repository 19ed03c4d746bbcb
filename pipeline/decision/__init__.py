"""From probability to label: the operating point, and how it is chosen."""
