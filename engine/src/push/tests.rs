//! The predefined rules read off the event answer as ruma's rules do.
