"""Files of named arrays: what opens them, headers first, values one array at a time."""
