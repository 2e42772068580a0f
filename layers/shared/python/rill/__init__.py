"""Rill: AI workflows on AWS Lambda that stream their work while it happens."""

__version__ = "0.1.0"
