"""What a site has promised and spent."""
