"""What lies below everything: errors, registries, class counts, files, the table of saved classes. No framework."""
