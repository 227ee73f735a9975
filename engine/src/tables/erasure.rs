//! Erasure: who and what is to go, what is left of them, and pictures that outlive other files.

use std::collections::BTreeSet;

use journal::{Expiring, Name, Stamp, Table};
use ruma::{OwnedRoomId, OwnedUserId, RoomVersionId};
use serde::{Deserialize, Serialize};

use super::MediaRow;
use crate::room::Pdu;

/// `(when, session)`: sessions that are over, by the moment at which their participants are erased (D5). Deleted then.
pub static SESSIONS_TO_ERASE: Table<(u64, Name), String> = Table::lasting(320, "sessions_to_erase");

/// `(user or room)`: erasures that have begun, and how far they have come. From that batch on nobody finds the user or the room; the row
/// stays until everything that hangs on them is deleted, so that a restart goes on where it was.
pub static ERASURES: Table<(Name,), ErasureRow> = Table::lasting(321, "erasures");

/// `(user)`: ids that were erased, so that none is given out again. A hash, and nothing else.
pub static ERASED_USERS: Table<(Name,), ()> = Table::lasting(322, "erased_users");

/// `(user, room)`: the end of an erased room, as `/sync` tells it to those who were in it. L after the erasure.
pub static DEPARTURES: Table<(Name, Name), DepartureRow, Expiring> = Table::expiring(323, "departures");

/// `(media id)`: pictures that their owner uses as an avatar: they live until it is replaced (D10). Moved here from `media`.
pub static KEPT_MEDIA: Table<(Name,), KeptMediaRow> = Table::lasting(324, "kept_media");

/// `(object)`: the same by where the bytes lie: the eraser leaves these. One per row of `kept_media`.
pub static KEPT_OBJECTS: Table<(Name,), ()> = Table::lasting(325, "kept_objects");

/// `(0)`: that something was erased, and what was deleted may still lie in the journal's files. Written by the end of an erasure,
/// deleted when the files have been rewritten after it.
pub static SCRUB_DUE: Table<(u8,), ()> = Table::lasting(326, "scrub_due");

/// An erasure that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ErasureRow {
    /// Of a user.
    User {
        /// Who.
        user_id: OwnedUserId,
        /// Whether they were a participant, whose rooms are of two.
        participant: bool,
        /// Whether files may still be readable, and have to be looked for.
        files: bool,
        /// How far it has come.
        at: ErasurePlace,
    },
    /// Of a room.
    Room {
        /// Which.
        room_id: OwnedRoomId,
        /// Its version.
        version: RoomVersionId,
        /// Who was in it and has heard of its end, and may still have something of it. The others are still listed as its members.
        members: Vec<OwnedUserId>,
    },
}

/// How far the erasure of a user has come: the places follow each other, those of a room for one room after the other. Where one is long,
/// `from` says at which key it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum ErasurePlace {
    /// What is the user's own is deleted.
    Own,
    /// A host's sessions are ended.
    Sessions,
    /// The next room is looked for.
    Rooms,
    /// Those in it forget the user.
    Members {
        /// The room.
        room_id: OwnedRoomId,
        /// Who is next.
        from: Option<Name>,
    },
    /// The user leaves it, or it goes with them.
    Leaving {
        /// The room.
        room_id: OwnedRoomId,
    },
    /// What the user said there is deleted.
    Events {
        /// The room.
        room_id: OwnedRoomId,
        /// The event that is next.
        from: Option<Stamp>,
    },
    /// The user's files are deleted.
    Files {
        /// The file that is next.
        from: Option<Name>,
    },
    /// So are those that are pictures in use.
    Pictures {
        /// The picture that is next.
        from: Option<Name>,
    },
    /// What came in while the erasure went on is looked for.
    Again,
}

/// The end of a room for one of its members.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DepartureRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The member's leaving it.
    pub pdu: Pdu,
    /// Its number in the batch; with the row's version: its stamp.
    pub index: u16,
}

/// A picture in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMediaRow {
    /// The file.
    pub media: MediaRow,
    /// The users and rooms whose picture it is.
    pub uses: BTreeSet<Name>,
}
