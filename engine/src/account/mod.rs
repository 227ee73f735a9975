//! Accounts: who a request comes from, and what belongs to a user alone.
