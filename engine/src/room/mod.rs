//! Rooms: building, authorizing and storing events, and reading what a room is.

mod append;
mod pdu;
mod read;

pub mod aliases;
pub mod create;
pub mod membership;
pub mod power;
pub mod redact;
pub mod send;

pub use append::{NewEvent, RoomDraft};
pub use pdu::Pdu;
pub use read::{
    Room, get_event, get_room, joined_members, joined_rooms, members, membership_of, shares_room, state_at, state_event,
    whole_state, StoredEvent,
};
