"""What happens between attempts: each policy is a small class that decides and does not act."""
