"""The bridge's schema among the migrations of a Django project."""
