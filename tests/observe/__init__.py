"""Tests of what people and programs see of the bridge at work."""
