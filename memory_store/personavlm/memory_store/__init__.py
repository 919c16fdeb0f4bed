"""Long-term memory of many users in LanceDB: one timeline per user, every version kept."""
