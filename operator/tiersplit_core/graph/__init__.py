"""What is divided: the layers of a network and the legal ways to cut between them."""
