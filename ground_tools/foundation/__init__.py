"""What every other folder may use: files written whole, sampling, typed TOML files, JSON records, progress bars."""
