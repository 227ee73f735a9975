//! Rooms: building, authorizing and storing events, and reading what a room is.

mod append;
mod client_event;
mod ignored;
mod join_rules;
mod mutual;
mod pdu;
mod place;
mod read;
mod visibility;

pub mod aliases;
pub mod create;
pub mod delayed;
pub mod directory;
pub mod hierarchy;
pub mod membership;
pub mod notices;
pub mod power;
pub mod redact;
pub mod send;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod upgrade;

pub use append::{NewEvent, RoomDraft};
pub(crate) use client_event::raw;
pub use client_event::{ClientEvent, Relation, Unsigned, basic_event, relation_of, sent_event, stripped};
pub use ignored::ignored_users;
pub use mutual::{MutualRooms, mutual_rooms};
pub use pdu::Pdu;
pub(crate) use pdu::{RETENTION, type_name};
pub use read::{
    Room, StoredEvent, get_event, get_room, get_room_for, joined_members, joined_rooms, members, membership_of, shares_room,
    state_at, state_event, whole_state,
};
pub use visibility::Viewer;
