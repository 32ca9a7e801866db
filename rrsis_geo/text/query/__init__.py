"""What an expression means over a whole scene: its grammar, and how its rules choose objects."""
