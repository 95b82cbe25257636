"""The files of other programs that say how to reach a registry: logins, helpers, mirrors."""
