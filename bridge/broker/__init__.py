"""What is borrowed from kombu and Celery beyond their documented interfaces, and nothing else."""
