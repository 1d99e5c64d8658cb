"""From picture files to batches: decode, prepare, pack, draw."""
