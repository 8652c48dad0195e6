"""What every other folder may use: files written whole, sampling, descriptions, arguments."""
