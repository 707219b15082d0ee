// Owns the precompiled header that all targets share.
