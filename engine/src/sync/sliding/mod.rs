//! Simplified sliding sync
//! ([MSC4186](https://github.com/matrix-org/matrix-spec-proposals/pull/4186), in the form clients use it:
//! `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`).
//!
//! A client asks for windows onto lists of its rooms and for single rooms, and is told what is new in those. What it has
//! been told is a [`Connection`]: the shell keeps it under the `pos` the client carries, in memory; a `pos` that is not
//! known (any more) makes the client start again, as the proposal has it.

mod connection;
mod extensions;
mod lists;
mod request;
mod room;
#[cfg(test)]
mod tests;
mod write;

pub use connection::Connection;
pub use request::Request;
pub use write::Body;

use crate::{
    Cx, Stop,
    room::ignored_users,
    sync::{Ephemeral, Filter, SyncRequest, Token, scope::Scope, window::Audience},
};

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

/// What is new, and what the client knows once it has been told.
///
/// # Errors
/// When the store cannot be read; `M_INVALID_PARAM` for a token of the to-device extension that is none.
pub fn collect(cx: &Cx<'_>, ask: &Ask<'_>, ephemeral: &dyn Ephemeral) -> Result<(Body, Connection), Stop> {
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
    let wanted = found.wanted(ask.request);
    let mut next = ask.connection.next(told, &found, &scope);
    let mut body = Body { lists: found.counts(ask.request), ..Body::default() };
    let reader = room::Reader { cx, ask, scope: &scope, audience };
    for (room_id, config) in &wanted {
        if let Some(room) = reader.room(&found, room_id, config)? {
            body.rooms.insert(room_id.clone(), room);
        }
        next.tell(room_id, config, told);
    }
    body.counts_changed = ask.connection.counts != body.lists;
    next.counts.clone_from(&body.lists);
    extensions::collect(cx, ask, &scope, &wanted, ephemeral, &mut body)?;
    Ok((body, next))
}
