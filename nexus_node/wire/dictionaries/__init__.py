"""Preset dictionaries of the text codecs, one module a language, loaded when first needed."""
