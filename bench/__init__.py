"""joulemark: does a joule earn more as a hash or as a token?"""

__version__ = "2026.11.0"
