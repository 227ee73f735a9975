//! What a client has been told on one connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use journal::{Name, Stamp};
use ruma::{OwnedRoomId, events::room::member::MembershipState};

use super::{
    Seen,
    answer::{self, Facts},
    lists::{Activity, Rooms},
    request::Config,
    required::RequiredState,
};
use crate::sync::{Token, scope::Scope};

/// Of one room, so many different wishes for state are remembered with what was told for each: clients have two or three.
const REQUIRED_MAX: usize = 16;

/// What a client has been told on one connection. Plain data; growth: an entry per room of the user.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Up to when; `None`: nothing yet.
    pub(super) told: Option<Token>,
    /// Rooms it knows of.
    pub(super) rooms: BTreeMap<OwnedRoomId, Known>,
    /// When something last happened in each room.
    pub(super) activity: BTreeMap<OwnedRoomId, Activity>,
    /// How many rooms are in each list.
    pub(super) counts: BTreeMap<String, u64>,
    /// Whether it has been told of all global account data.
    pub(super) account_data: bool,
}

/// A room that a client knows of.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The first place in it that the client has not been told of.
    pub position: Stamp,
    /// What state it asked for, and the first place it has not been told of for that.
    pub required: BTreeMap<Arc<RequiredState>, Stamp>,
    /// How many events it asked for last.
    pub timeline_limit: usize,
    /// Whose member events it has.
    pub members: BTreeSet<Name>,
    /// What it knows of the room itself.
    pub facts: Facts,
    /// Something happened there while the client was not looking.
    pub stale: bool,
    /// Whether it was told of typing there last time.
    pub typing: bool,
    /// The first place from which it has not been told of account data; `None`: never told of any.
    pub account_data: Option<Stamp>,
    /// The first place from which it has not been told of receipts.
    pub receipts: Option<Stamp>,
}

impl Connection {
    /// The place in the order of all records up to which the client has been told; `None` before the first answer.
    #[must_use]
    pub const fn told(&self) -> Option<Token> {
        self.told
    }

    /// What the client will know, before it is told of rooms.
    pub(super) fn next(&self, told: Token, found: &Rooms, scope: &Scope) -> Self {
        let mut rooms = self.rooms.clone();
        rooms.retain(|room_id, _| found.by_id.contains_key(room_id));
        for (room_id, known) in &mut rooms {
            known.stale |= scope.touches(room_id);
        }
        let activity = found.by_id.iter().map(|(room_id, room)| (room_id.clone(), room.activity)).collect();
        Self { told: Some(told), rooms, activity, counts: BTreeMap::new(), account_data: self.account_data }
    }

    /// The client is told of a room, up to `told`; `room` is what it is told, if anything is news.
    pub(super) fn tell(&mut self, room_id: &OwnedRoomId, seen: &Seen<'_>, room: Option<&answer::Room>, told: Token) {
        let before = seen.known;
        let Some(facts) = room.map(|room| &room.facts).or(before.map(|known| &known.facts)) else { return };
        let members = room.map(|room| &room.events.members).or(before.map(|known| &known.members));
        let known = Known {
            position: told.position,
            required: required(before, &seen.wanted.config, told.position),
            timeline_limit: seen.wanted.config.timeline_limit,
            members: members.cloned().unwrap_or_default(),
            facts: facts.clone(),
            stale: false,
            typing: before.is_some_and(|known| known.typing),
            account_data: before.and_then(|known| known.account_data),
            receipts: before.and_then(|known| known.receipts),
        };
        self.rooms.insert(room_id.clone(), known);
    }
}

/// What is known of each wish once those of now have been told up to `position`.
fn required(before: Option<&Known>, config: &Config, position: Stamp) -> BTreeMap<Arc<RequiredState>, Stamp> {
    let mut required = before.map(|known| known.required.clone()).unwrap_or_default();
    required.extend(config.required.iter().map(|wish| (Arc::clone(wish), position)));
    if required.len() > REQUIRED_MAX {
        required.retain(|_, told| *told == position);
    }
    required
}

impl Known {
    /// Whether the client goes on from what it knows: not after it has come into the room (again), or been invited to it.
    pub fn goes_on(&self, membership: &MembershipState) -> bool {
        let outside = |membership: &MembershipState| matches!(membership, MembershipState::Invite | MembershipState::Knock);
        match membership {
            MembershipState::Join => self.facts.membership == MembershipState::Join,
            membership if outside(membership) => outside(&self.facts.membership),
            _ => true,
        }
    }

    /// Whether what is wanted is what was wanted last time, as far as state goes.
    pub fn has_asked(&self, config: &Config) -> bool {
        config.required.iter().all(|required| self.required.get(required) == Some(&self.position))
    }

    /// The first place from which the client has not been told of a piece of state; `None`: it never asked for it.
    pub fn told_of(&self, event_type: &str, state_key: &str) -> Option<Stamp> {
        let asked = self.required.iter().filter(|(required, _)| required.includes(event_type, state_key));
        asked.map(|(_, told)| *told).max()
    }
}
