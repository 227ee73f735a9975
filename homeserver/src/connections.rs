//! Sliding sync's connections: what each client has been told, under the position it carries (MSC4186).
//!
//! In memory only: after a restart, or when a connection has not been used for long, its position is not known any more
//! and the client starts again, as the proposal has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::sync::sliding::{Connection, Form};
use engine::{Reject, Requester};
use journal::Timestamp;
use ruma::{OwnedDeviceId, OwnedUserId};

/// Connections kept of all clients together; past it the one unused longest is forgotten. A few KiB each.
const CONNECTIONS_MAX: usize = 4_096;
/// A connection unused for so long is forgotten.
const UNUSED_MAX_MS: u64 = 24 * 3_600_000;
/// What a client may call a connection.
const CONN_ID_BYTES_MAX: usize = 64;

/// Whose connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    user_id: OwnedUserId,
    device_id: Option<OwnedDeviceId>,
    form: Form,
    conn_id: String,
}

/// All connections of one server.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<ConnectionId, Kept>,
    next_pos: u64,
}

/// The last answer, and the one before it: a client that lost an answer asks with the position before.
#[derive(Debug)]
struct Kept {
    used: Timestamp,
    last: (u64, Arc<Connection>),
    before: Option<(u64, Arc<Connection>)>,
}

impl ConnectionId {
    /// Of a request. Connections of different forms have nothing to do with each other, whatever they are called.
    ///
    /// # Errors
    /// `M_INVALID_PARAM` for a name that is too long.
    pub fn new(requester: &Requester, form: Form, conn_id: Option<&str>) -> Result<Self, Reject> {
        let conn_id = conn_id.unwrap_or_default();
        if conn_id.len() > CONN_ID_BYTES_MAX {
            return Err(Reject::invalid_param("conn_id has at most 64 bytes"));
        }
        let (user_id, device_id) = (requester.user_id.clone(), requester.device_id.clone());
        Ok(Self { user_id, device_id, form, conn_id: conn_id.to_owned() })
    }
}

impl Connections {
    /// What the client has been told at `pos`; nothing at no `pos`.
    ///
    /// # Errors
    /// `M_UNKNOWN_POS`: the client has to start again.
    pub fn at(&self, id: &ConnectionId, pos: Option<&str>) -> Result<Arc<Connection>, Reject> {
        let Some(pos) = pos else { return Ok(Arc::default()) };
        let pos = number(pos).ok_or(Reject::UnknownPos)?;
        let inner = self.inner();
        let kept = inner.by_id.get(id).ok_or(Reject::UnknownPos)?;
        let found = std::iter::once(&kept.last).chain(&kept.before).find(|(known, _)| *known == pos);
        found.map(|(_, connection)| Arc::clone(connection)).ok_or(Reject::UnknownPos)
    }

    /// The client, who was at `from`, is being told more: the position it goes on from.
    pub fn advance(&self, id: &ConnectionId, from: Option<&str>, connection: Connection, now: Timestamp) -> String {
        let mut inner = self.inner();
        inner.next_pos += 1;
        // Positions of an earlier process are not taken for this one's: they start at the clock's milliseconds.
        let pos = inner.next_pos.max(now.as_ms());
        inner.next_pos = pos;
        let from = from.and_then(number);
        let told = connection.told();
        let old = inner.by_id.remove(id);
        let before = old.and_then(|old| std::iter::once(old.last).chain(old.before).find(|(known, _)| Some(*known) == from));
        inner.by_id.insert(id.clone(), Kept { used: now, last: (pos, Arc::new(connection)), before });
        inner.forget(now);
        // The token makes a position good for `/messages` and the like, too (MSC4186).
        told.map_or_else(|| pos.to_string(), |told| format!("{pos}.{}", told.encode()))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Whole after each statement that changes it: a poisoned lock holds nothing broken.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of a position: all that a connection is found by.
fn number(pos: &str) -> Option<u64> {
    pos.split_once('.').map_or(pos, |(number, _)| number).parse().ok()
}

impl Inner {
    fn forget(&mut self, now: Timestamp) {
        if self.by_id.len() <= CONNECTIONS_MAX {
            return;
        }
        let oldest = now.minus_ms(UNUSED_MAX_MS);
        self.by_id.retain(|_, kept| kept.used >= oldest);
        if self.by_id.len() > CONNECTIONS_MAX
            && let Some(id) = self.by_id.iter().min_by_key(|(_, kept)| kept.used).map(|(id, _)| id.clone())
        {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    fn id(conn_id: &str) -> ConnectionId {
        let requester = Requester { user_id: owned_user_id!("@u:t"), device_id: Some("D".into()), appservice: None };
        ConnectionId::new(&requester, Form::Unstable, Some(conn_id)).unwrap()
    }

    #[test]
    fn the_last_position_and_the_one_before_are_known() {
        let connections = Connections::default();
        let (id, now) = (id("list"), Timestamp::from_ms(1_000));
        assert!(connections.at(&id, None).is_ok());
        assert_eq!(connections.at(&id, Some("1")).unwrap_err(), Reject::UnknownPos);
        let one = connections.advance(&id, None, Connection::default(), now);
        let two = connections.advance(&id, Some(&one), Connection::default(), now);
        assert!(connections.at(&id, Some(&one)).is_ok(), "an answer may be lost on the way");
        let three = connections.advance(&id, Some(&two), Connection::default(), now);
        assert_eq!(connections.at(&id, Some(&one)).unwrap_err(), Reject::UnknownPos);
        assert!(connections.at(&id, Some(&two)).is_ok() && connections.at(&id, Some(&three)).is_ok());
        let of_v4 = ConnectionId { form: Form::V4, ..id.clone() };
        for other in [super::tests::id("other"), of_v4] {
            assert_eq!(connections.at(&other, Some(&three)).unwrap_err(), Reject::UnknownPos);
        }
    }

    #[test]
    fn what_is_unused_is_forgotten_first() {
        let connections = Connections::default();
        let first = connections.advance(&id("first"), None, Connection::default(), Timestamp::from_ms(1));
        for number in 0..CONNECTIONS_MAX {
            connections.advance(&id(&number.to_string()), None, Connection::default(), Timestamp::from_ms(2));
        }
        assert_eq!(connections.at(&id("first"), Some(&first)).unwrap_err(), Reject::UnknownPos);
        assert_eq!(connections.inner().by_id.len(), CONNECTIONS_MAX);
    }
}
