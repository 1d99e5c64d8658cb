"""Models that are shared: pushed to a folder or to Hugging Face, and pulled from there."""
