"""What happens to records over their life: links, export, erasure, retention, backup."""
