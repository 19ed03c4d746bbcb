"""What the commands of all packages share: options and exit codes, progress, and a quiet start."""
