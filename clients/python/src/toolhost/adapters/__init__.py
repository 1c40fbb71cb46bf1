"""Adapters to agent frameworks, one module each. A module imports its framework, so import only those you have."""
