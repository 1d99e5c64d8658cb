"""The demo: a page on this machine, and the small server behind it."""
