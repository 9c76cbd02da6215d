"""Each backend beside its own client, in the same run."""
