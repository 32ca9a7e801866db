"""Write and read vector layers, and draw preview pictures."""
