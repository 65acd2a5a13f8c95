"""Reading companies, deals and own records from CSV files: shape, columns, cells, relations, batch, reading."""
