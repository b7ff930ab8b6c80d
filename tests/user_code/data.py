"""Data, labels, losses and metrics."""

from __future__ import annotations

from user_code.row import Row

ROWS: list[Row] = []
