"""What many runs leave behind: nothing that grows, and no secret."""
