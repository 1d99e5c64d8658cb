"""From image files to batches: decoding, preprocessing, caching and sampling."""
