//! Synchronization: what has changed for one user and device
//! ([spec v1.19, Client-Server API § Syncing](https://spec.matrix.org/v1.19/client-server-api/#syncing)).
//!
//! [`collect`] gathers it from a view into a [`Collected`]; what a client reads is written from that by [`v3`].
//! [`sliding`] reads the same windows and states in its own order.

mod collect;
mod event_form;
mod filter;
mod model;
mod room;
mod scope;
mod state;
mod summary;
#[cfg(test)]
mod tests;
mod token;
mod window;

pub mod sliding;
pub mod v3;

pub use collect::collect;
pub use event_form::{EventFields, EventFormat};
pub use filter::{EventFilter, Filter, RoomFilter, TIMELINE_LIMIT_MAX};
pub use model::{Collected, DeviceKeyCounts, JoinedRoom, LeftRoom, Summary, Timeline};
pub use scope::device_lists_since;
pub use token::Token;

use ruma::{DeviceId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::value::RawValue;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct SyncRequest<'a> {
    /// For whom.
    pub user_id: &'a UserId,
    /// On which device; `None` for an application service without one: no encryption parts then.
    pub device_id: Option<&'a DeviceId>,
    /// Since when; `None`: everything.
    pub since: Option<Token>,
    /// What is left out.
    pub filter: &'a Filter,
    /// The whole state of every room, whatever has changed.
    pub full_state: bool,
    /// State up to the end of the timeline, not to its start (MSC4222, spec v1.16).
    pub state_after: bool,
}

/// What is only in memory, as the shell keeps it: typing and presence. It has a version that grows with every change.
pub trait Ephemeral {
    /// The present version.
    fn version(&self) -> u64;
    /// Rooms where somebody started or stopped typing after `version`, and who is typing there; with `None`, all rooms
    /// where somebody is typing.
    fn typing_since(&self, version: Option<u64>) -> Vec<(OwnedRoomId, Vec<OwnedUserId>)>;
    /// Users whose presence changed after `version`; with `None`, all who have one.
    fn presence_since(&self, version: Option<u64>) -> Vec<OwnedUserId>;
    /// The `m.presence` event of a user who has one.
    fn presence_of(&self, user_id: &UserId) -> Option<Box<RawValue>>;
}
