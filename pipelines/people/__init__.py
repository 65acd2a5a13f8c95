"""Pages on which people work: the inbox of the admin, and the form behind the link of a mail."""
