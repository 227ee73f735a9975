//! Reading what was said: pages of a timeline, single events, what relates to them, members and state.

pub mod aggregate;
