//! Rooms and who is in them.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Store, WaitingEvent, timeline};
use crate::{clock::Millis, database::StoreError, seal::Sealer};

/// Whether support is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Asked in, not joined yet.
    Invite,
    /// In.
    Join,
    /// Out.
    Leave,
}

impl Membership {
    /// The word in the row, which is the specification's.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Join => "join",
            Self::Leave => "leave",
        }
    }

    fn read(word: &str) -> Self {
        match word {
            "invite" => Self::Invite,
            "join" => Self::Join,
            _ => Self::Leave,
        }
    }
}

/// One fact about a room that came from the homeserver.
#[derive(Debug)]
pub enum RoomChange {
    /// Support was invited, has joined or is out.
    Own { room_id: String, membership: Membership },
    /// Somebody else's membership or name changed.
    Member { room_id: String, user_id: String, membership: String, display_name: Option<String> },
    /// `m.room.encryption`, its content.
    Encryption { room_id: String, content: String },
    /// `m.room.history_visibility`.
    HistoryVisibility { room_id: String, history_visibility: String },
    /// `m.room.retention` (MSC1763), its `max_lifetime`.
    Lifetime { room_id: String, lifetime_ms: Option<Millis> },
    /// The whole state was read, after joining.
    Loaded { room_id: String },
}

/// A room as the bridge knows it.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its id.
    pub room_id: String,
    /// Whether support is in it.
    pub membership: Membership,
    /// Whether its state was read after joining.
    pub state_loaded: bool,
    /// The content of `m.room.encryption`; none: the room isn't encrypted.
    pub encryption: Option<String>,
    /// The value of `m.room.history_visibility`, if known.
    pub history_visibility: Option<String>,
    /// Everybody else's membership and name.
    pub members: BTreeMap<String, (String, Option<String>)>,
}

impl Room {
    /// The users whose devices get the keys of what support writes: joined ones and invited ones.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        self.members
            .iter()
            .filter(|(_, (membership, _))| membership == "join" || membership == "invite")
            .map(|(id, _)| id.as_str())
    }

    /// Whether there is anybody to talk to.
    pub fn has_company(&self) -> bool {
        self.recipients().next().is_some()
    }

    /// What a person is called here.
    pub fn name_of(&self, user_id: &str) -> Option<&str> {
        self.members.get(user_id).and_then(|(_, name)| name.as_deref()).filter(|name| !name.trim().is_empty())
    }
}

impl Store {
    /// A room, if it is known.
    pub async fn room(&self, room_id: String) -> Result<Option<Room>, StoreError> {
        self.database.run(move |t, _| read(t, &room_id)).await
    }

    /// Rooms that need something done: joining, reading their state, or leaving because nobody else is left.
    pub async fn rooms_to_settle(&self) -> Result<Vec<Room>, StoreError> {
        self.database
            .run(|t, _| {
                let mut query = t.prepare(
                    "SELECT room_id FROM room WHERE membership = 'invite' OR (membership = 'join' AND (state_loaded = 0
                       OR NOT EXISTS (SELECT 1 FROM member WHERE member.room_id = room.room_id
                                      AND member.membership IN ('join', 'invite'))))
                     ORDER BY changed_ms",
                )?;
                let room_ids: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
                room_ids.iter().filter_map(|room_id| read(t, room_id).transpose()).collect()
            })
            .await
    }

    /// A joined room's state and what was written before joining, at once.
    pub async fn room_loaded(
        &self,
        changes: Vec<RoomChange>,
        events: Vec<WaitingEvent>,
        now: Millis,
    ) -> Result<(), StoreError> {
        let lifetime_ms = self.lifetime_ms;
        self.database.run(move |t, sealer| take_in(t, sealer, &changes, &events, now, lifetime_ms)).await
    }

    /// Applies facts about rooms.
    pub async fn change_rooms(&self, changes: Vec<RoomChange>, now: Millis) -> Result<(), StoreError> {
        self.database
            .run(move |t, _| {
                for change in &changes {
                    apply(t, change, now)?;
                }
                Ok(())
            })
            .await
    }
}

pub(super) fn read(t: &Transaction<'_>, room_id: &str) -> Result<Option<Room>, StoreError> {
    let room = t
        .query_row(
            "SELECT membership, state_loaded, encryption, history_visibility FROM room WHERE room_id = ?1",
            [room_id],
            |row| {
                Ok(Room {
                    room_id: room_id.to_owned(),
                    membership: Membership::read(&row.get::<_, String>(0)?),
                    state_loaded: row.get(1)?,
                    encryption: row.get(2)?,
                    history_visibility: row.get(3)?,
                    members: BTreeMap::new(),
                })
            },
        )
        .optional()?;
    let Some(mut room) = room else { return Ok(None) };
    let mut query = t.prepare("SELECT user_id, membership, display_name FROM member WHERE room_id = ?1")?;
    room.members =
        query.query_map([room_id], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?.collect::<Result<_, _>>()?;
    Ok(Some(room))
}

/// What the homeserver told of rooms, and then what was written in them.
pub(super) fn take_in(
    t: &Transaction<'_>,
    sealer: &Sealer,
    changes: &[RoomChange],
    events: &[WaitingEvent],
    now: Millis,
    lifetime_ms: Millis,
) -> Result<(), StoreError> {
    for change in changes {
        apply(t, change, now)?;
    }
    for event in events {
        timeline::insert(t, sealer, event, lifetime_ms)?;
    }
    Ok(())
}

fn apply(t: &Transaction<'_>, change: &RoomChange, now: Millis) -> Result<(), StoreError> {
    match change {
        RoomChange::Own { room_id, membership } => {
            // An invitation that arrives after the join (the homeserver delivers at least once) undoes nothing.
            let joined: Option<String> =
                t.query_row("SELECT membership FROM room WHERE room_id = ?1", [room_id], |row| row.get(0)).optional()?;
            if joined.as_deref() == Some("join") && *membership == Membership::Invite {
                return Ok(());
            }
            t.execute(
                "INSERT INTO room (room_id, membership, changed_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (room_id) DO UPDATE SET membership = ?2, changed_ms = ?3,
                   state_loaded = CASE WHEN ?2 = 'join' THEN state_loaded ELSE 0 END",
                params![room_id, membership.word(), now],
            )?;
            if *membership == Membership::Leave {
                t.execute("DELETE FROM member WHERE room_id = ?1", [room_id])?;
            }
        }
        RoomChange::Member { room_id, user_id, membership, display_name } => {
            t.execute(
                "INSERT INTO member (room_id, user_id, membership, display_name)
                 SELECT room_id, ?2, ?3, ?4 FROM room WHERE room_id = ?1 AND membership <> 'leave'
                 ON CONFLICT (room_id, user_id) DO UPDATE SET membership = ?3,
                   display_name = COALESCE(?4, display_name)",
                params![room_id, user_id, membership, display_name],
            )?;
        }
        RoomChange::Encryption { room_id, content } => {
            t.execute("UPDATE room SET encryption = ?2 WHERE room_id = ?1", params![room_id, content])?;
        }
        RoomChange::HistoryVisibility { room_id, history_visibility } => {
            t.execute("UPDATE room SET history_visibility = ?2 WHERE room_id = ?1", params![room_id, history_visibility])?;
        }
        RoomChange::Lifetime { room_id, lifetime_ms } => {
            t.execute("UPDATE room SET lifetime_ms = ?2 WHERE room_id = ?1", params![room_id, lifetime_ms])?;
        }
        RoomChange::Loaded { room_id } => {
            t.execute("UPDATE room SET state_loaded = 1 WHERE room_id = ?1 AND membership = 'join'", [room_id])?;
        }
    }
    Ok(())
}
