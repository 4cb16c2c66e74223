"""Steps as new processes of this machine, each under a supervisor that ends it with us."""
