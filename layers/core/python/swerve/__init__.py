"""Swerve: warns when a shopper's interest suddenly changes."""
