"""The demo of `mdtranslate serve`: a page for the local machine, and the HTTP server behind it."""
