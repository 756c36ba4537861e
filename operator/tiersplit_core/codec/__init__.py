"""How a tensor becomes bytes on a link, and how many."""
