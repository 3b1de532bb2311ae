"""Speed of the tap beside a floor and three other ways to read the same pages."""
