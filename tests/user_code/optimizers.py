"""Optimisers and schedules."""

from __future__ import annotations

from user_code.row import Row

ROWS: list[Row] = []
