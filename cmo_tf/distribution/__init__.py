"""Several devices, several machines, and streams made by other processes."""
