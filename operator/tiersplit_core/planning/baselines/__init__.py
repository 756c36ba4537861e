"""The methods that the papers compare with, as they define them."""
