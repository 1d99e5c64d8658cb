"""Sharing trained models: `mdtranslate push` and `mdtranslate pull`."""
