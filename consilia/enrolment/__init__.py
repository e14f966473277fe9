"""How a hospital with a cluster of its own comes to a hub: what it asks with, and what it is handed."""
