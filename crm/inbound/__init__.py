"""Mail that comes back: bounces, complaints and answers, read from a mailbox."""
