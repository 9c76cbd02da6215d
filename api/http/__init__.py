"""The HTTP API: FastAPI over the same service and sync objects as the command line."""

from persistence.extras import needing

with needing("api"):
    from api.http.app import create_app
    from api.http.caller import Authenticate, authenticating, needs
    from api.http.faces import Face
    from api.http.host import Host, host_of, hosted, hosting
    from api.http.mounting import mount
    from api.http.settings import ApiConfig

__all__ = [
    "ApiConfig",
    "Authenticate",
    "Face",
    "Host",
    "authenticating",
    "create_app",
    "host_of",
    "hosted",
    "hosting",
    "mount",
    "needs",
]
