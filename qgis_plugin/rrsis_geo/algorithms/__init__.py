"""The Processing algorithms: parameters and layers. The work is in `program`."""
