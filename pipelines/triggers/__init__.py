"""What puts subjects into pipelines."""
