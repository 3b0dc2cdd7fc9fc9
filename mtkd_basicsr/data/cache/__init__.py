"""The target cache: its files, who reads and who writes them, and when one matches."""
