"""What differs between a stack and its cluster: declared in the state, found in the API."""
