"""What an operator does and sees, once for the HTTP API, the dashboard and the MCP server."""

from api.operating.desk import Desk
from api.operating.order import Order
from api.operating.status import Status, StatusBoard, StoreState, board_json

__all__ = ["Desk", "Order", "Status", "StatusBoard", "StoreState", "board_json"]
