//! Simplified sliding sync
//! ([MSC4186](https://github.com/matrix-org/matrix-spec-proposals/pull/4186)).
//!
//! A client asks for windows onto lists of its rooms and for single rooms, and is told what is new in those. What it has
//! been told is a [`Connection`]: the shell keeps it under the `pos` the client carries, in memory; a `pos` that is not
//! known (any more) makes the client start again, as the proposal has it.
//!
//! [`collect`] answers a [`Request`] with an [`Answer`]. Two forms are read and written from and into these: [`v4`], as the
//! proposal was accepted, and [`unstable`], as clients have used it before.

mod answer;
mod connection;
mod extensions;
mod lists;
mod request;
mod required;
mod room;
mod state;
#[cfg(test)]
mod tests;

pub mod unstable;
pub mod v4;

pub use answer::Answer;
pub use connection::Connection;
pub use request::{Details, Extensions, Filters, LISTS_MAX, List, Request, RoomScope, ToDevice};
pub use required::{Element, RequiredState};

use std::collections::BTreeMap;

use crate::{
    Cx, Stop,
    room::ignored_users,
    sync::{Ephemeral, Filter, SyncRequest, Token, scope::Scope, window::Audience},
};

/// The form that a connection's requests and answers are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As clients have used it before it was accepted: [`unstable`].
    Unstable,
    /// As it was accepted: [`v4`].
    V4,
}

/// For whom, and what they know.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The user.
    pub user_id: &'a ruma::UserId,
    /// The device; `None` for an application service without one: no encryption parts then.
    pub device_id: Option<&'a ruma::DeviceId>,
    /// What is asked for.
    pub request: &'a Request,
    /// What the client has been told on this connection.
    pub connection: &'a Connection,
}

/// A room that the client looks at.
#[derive(Debug)]
struct Seen<'a> {
    room: &'a lists::Room,
    wanted: request::Wanted,
    /// What the client knows of it; `None`: it is told of it from the start.
    known: Option<&'a connection::Known>,
}

/// What is new, and what the client knows once it has been told.
///
/// # Errors
/// When the store cannot be read.
pub fn collect(cx: &Cx<'_>, ask: &Ask<'_>, ephemeral: &dyn Ephemeral) -> Result<(Answer, Connection), Stop> {
    let version = ephemeral.version();
    let filter = Filter::default();
    let since = ask.connection.told;
    let sync = SyncRequest {
        user_id: ask.user_id,
        device_id: ask.device_id,
        since,
        filter: &filter,
        full_state: false,
        state_after: false,
    };
    let scope = Scope::new(cx, &sync)?;
    let ignored = ignored_users(cx, ask.user_id)?;
    let device = ask.device_id.map(|device_id| cx.device(device_id));
    let audience = Audience { device, ignored: &ignored, form: filter.event_form() };
    let told = Token::after(cx.view.seq(), cx.now(), version);

    let found = lists::Rooms::find(cx, ask, &scope, &ignored)?;
    let reader = room::Reader { cx, ask, scope: &scope, audience, found: &found };
    let mut seen = BTreeMap::new();
    for (room_id, wanted) in found.wanted(ask.request) {
        if let Some(room) = found.by_id.get(&room_id) {
            let known = reader.known(&room_id, room);
            seen.insert(room_id, Seen { room, wanted, known });
        }
    }
    let mut next = ask.connection.next(told, &found, &scope);
    let mut answer = Answer { lists: found.counts(), ..Answer::default() };
    for (room_id, seen) in &seen {
        let room = reader.room(room_id, seen)?;
        next.tell(room_id, seen, room.as_ref(), told);
        if let Some(room) = room {
            answer.rooms.insert(room_id.clone(), room);
        }
    }
    answer.counts_changed = ask.connection.counts != answer.lists;
    next.counts.clone_from(&answer.lists);
    extensions::Collector { cx, ask, scope: &scope, seen: &seen, told }.collect(ephemeral, &mut answer, &mut next)?;
    Ok((answer, next))
}
