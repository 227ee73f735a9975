//! Who is typing
//! ([spec v1.19, Client-Server API § Typing notifications](https://spec.matrix.org/v1.19/client-server-api/#typing-notifications)).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use journal::Timestamp;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::Ephemeral;

/// The longest a client may say that its user is typing without saying it again.
pub const TYPING_MAX: Duration = Duration::from_mins(2);

/// Rooms kept of which nothing is left but that somebody stopped typing: clients take that for granted after a while.
const QUIET_ROOMS_MAX: usize = 10_000;

/// Rooms by id, and by the version of their last change. Growth: one entry per room where somebody types, and
/// [`QUIET_ROOMS_MAX`] where somebody has.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    by_id: HashMap<OwnedRoomId, Room>,
    by_version: BTreeMap<u64, OwnedRoomId>,
}

#[derive(Debug, Default)]
struct Room {
    version: u64,
    typing: BTreeMap<OwnedUserId, Timestamp>,
}

impl Rooms {
    pub(super) fn since(&self, version: Option<u64>) -> Vec<(OwnedRoomId, Vec<OwnedUserId>)> {
        let first = version.map_or(0, |version| version + 1);
        let news = self.by_version.range(first..).filter_map(|(_, room_id)| Some((room_id, self.by_id.get(room_id)?)));
        news.filter(|(_, room)| version.is_some() || !room.typing.is_empty())
            .map(|(room_id, room)| (room_id.clone(), room.typing.keys().cloned().collect()))
            .collect()
    }

    /// The room changed: it becomes the latest.
    fn changed(&mut self, room_id: &RoomId, version: u64) {
        if let Some(room) = self.by_id.get_mut(room_id) {
            self.by_version.remove(&std::mem::replace(&mut room.version, version));
            self.by_version.insert(version, room_id.to_owned());
        }
        let quiet = |rooms: &Self, room_id: &OwnedRoomId| rooms.by_id.get(room_id).is_none_or(|room| room.typing.is_empty());
        while self.by_version.len() > QUIET_ROOMS_MAX
            && let Some((version, room_id)) = self.by_version.first_key_value().map(|(version, id)| (*version, id.clone()))
            && quiet(self, &room_id)
        {
            self.by_version.remove(&version);
            self.by_id.remove(&room_id);
        }
    }
}

impl Ephemeral {
    /// The user types until `until`, or has stopped (`None`). Answers whether that is news.
    pub fn set_typing(&self, room_id: &RoomId, user_id: &UserId, until: Option<Timestamp>) -> bool {
        let mut state = self.state();
        let version = state.next_version();
        let room = state.typing.by_id.entry(room_id.to_owned()).or_default();
        let was_typing = match until {
            Some(until) => room.typing.insert(user_id.to_owned(), until).is_some(),
            None => room.typing.remove(user_id).is_some(),
        };
        let news = was_typing != until.is_some();
        if news {
            state.typing.changed(room_id, version);
        }
        news
    }

    /// Takes the user for stopped if they have not said again that they type. Answers whether that is news.
    pub fn expire_typing(&self, room_id: &RoomId, user_id: &UserId, now: Timestamp) -> bool {
        let ended = {
            let state = self.state();
            let until = state.typing.by_id.get(room_id).and_then(|room| room.typing.get(user_id));
            until.is_some_and(|until| *until <= now)
        };
        ended && self.set_typing(room_id, user_id, None)
    }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    #[test]
    fn who_types_is_told_until_they_stop() {
        let (room, user) = (room_id!("!r:t"), user_id!("@u:t"));
        let ephemeral = Ephemeral::new(Timestamp::from_ms(10));
        let typing = |version| ephemeral.state().typing.since(version);
        assert!(typing(None).is_empty());
        assert!(ephemeral.set_typing(room, user, Some(Timestamp::from_ms(100))));
        assert_eq!(typing(Some(10)), [(room.to_owned(), vec![user.to_owned()])]);
        assert!(!ephemeral.set_typing(room, user, Some(Timestamp::from_ms(200))), "typing on is no news");
        let told = ephemeral.state().version;
        assert!(typing(Some(told)).is_empty());
        assert!(!ephemeral.expire_typing(room, user, Timestamp::from_ms(150)), "said again meanwhile");
        assert!(ephemeral.expire_typing(room, user, Timestamp::from_ms(200)));
        assert_eq!(typing(Some(told)), [(room.to_owned(), vec![])], "who was told of typing is told of its end");
        assert!(typing(None).is_empty());
    }
}
