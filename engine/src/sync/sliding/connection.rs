//! What a client has been told on one connection.

use std::collections::BTreeMap;

use journal::Stamp;
use ruma::OwnedRoomId;

use super::{lists::Rooms, request::Config};
use crate::sync::{Token, scope::Scope};

/// What a client has been told on one connection. Plain data; growth: an entry per room of the user.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Up to when; `None`: nothing yet.
    pub(super) told: Option<Token>,
    /// Rooms it knows of.
    pub(super) rooms: BTreeMap<OwnedRoomId, Known>,
    /// When something last happened in each room that moves it up in a list.
    pub(super) bumps: BTreeMap<OwnedRoomId, Stamp>,
    /// How many rooms are in each list.
    pub(super) counts: BTreeMap<String, u64>,
}

/// A room that a client knows of.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The first place in it that the client has not been told of.
    pub position: Stamp,
    /// What it asked for.
    pub config: Config,
    /// Something happened there while the client was not looking.
    pub stale: bool,
}

impl Connection {
    /// What the client will know, before it is told of rooms.
    pub(super) fn next(&self, told: Token, found: &Rooms, scope: &Scope) -> Self {
        let mut rooms = self.rooms.clone();
        rooms.retain(|room_id, _| found.by_id.contains_key(room_id));
        for (room_id, known) in &mut rooms {
            known.stale |= scope.touches(room_id);
        }
        let bumps = found.by_id.iter().map(|(room_id, room)| (room_id.clone(), room.bump)).collect();
        Self { told: Some(told), rooms, bumps, counts: BTreeMap::new() }
    }

    /// The client is told of a room, up to `told`.
    pub(super) fn tell(&mut self, room_id: &OwnedRoomId, config: &Config, told: Token) {
        let known = Known { position: told.position, config: config.clone(), stale: false };
        let before = self.rooms.insert(room_id.clone(), known);
        // What it has asked for once it has: a later request may ask for less, and then for as much again.
        if let (Some(before), Some(known)) = (before, self.rooms.get_mut(room_id)) {
            known.config.required.extend(before.config.required);
        }
    }
}
