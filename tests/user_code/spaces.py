"""Spaces, and arguments of a search."""

from __future__ import annotations

from user_code.row import Row

ROWS: list[Row] = []
