"""What a request costs, beside the view one would write by hand and beside other servers."""
