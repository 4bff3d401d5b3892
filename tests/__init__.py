"""The tests, of what users see, over HTTP wherever it can be."""
