"""The distribution protocol over HTTP: connections, TLS, tokens, ranges, uploads. Owns ``requests`` and ``urllib3``."""
