"""What lets code written for Gunicorn run under Tricorn."""
