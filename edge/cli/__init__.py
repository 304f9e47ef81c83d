"""What a technician types."""
