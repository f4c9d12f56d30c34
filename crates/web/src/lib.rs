//! Dashboard, REST, WebSocket, health and metrics.
