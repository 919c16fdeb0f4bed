"""Where records are kept: tables in LanceDB, the journal before them, media beside them."""
