"""Tests against a real Postgres, a real broker and real Celery workers."""
