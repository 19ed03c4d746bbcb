"""Writes finished work to an MLflow tracking server: settings, figures and files."""
