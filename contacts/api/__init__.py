"""The REST interface of contacts, companies, deals and activities."""
