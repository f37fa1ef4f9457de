"""How long the report of a large root takes, what it weighs, how fast it opens."""
