"""The HTTP API: FastAPI over the same service and sync objects as the command line."""

from api.http.app import create_app
from api.http.host import Host, hosting
from api.http.settings import ApiConfig

__all__ = ["ApiConfig", "Host", "create_app", "hosting"]
