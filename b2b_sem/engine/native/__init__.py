"""engine/native."""
