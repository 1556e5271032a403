"""What users' programs import."""
