//! What every command is decided from: a view, the server it runs on, and who asks.

use std::collections::BTreeMap;
use std::fmt;

use journal::{Class, Name, Timestamp, View};
use ruma::{
    DeviceId, EventId, OwnedServerName, OwnedUserId, RoomId, RoomVersionId, ServerName, UserId,
    api::appservice::Registration, signatures::Ed25519KeyPair,
};

/// The retention classes of the journal, by number. Stored in rows' headers: append, never renumber.
pub mod class {
    use journal::Class;

    /// Events, and whatever hangs on them: relations, receipts, counts, indices, transaction ids.
    pub const TEXT: Class = Class(0);
    /// To-device messages: L and the Megolm rotation period.
    pub const TO_DEVICE: Class = Class(1);
    /// Media, and the day's account of uploads.
    pub const MEDIA: Class = Class(2);
    /// Things of minutes: login tokens, interactive-auth sessions, replaced refresh tokens.
    pub const MINUTES: Class = Class(3);
    /// What is to be done when content has expired: L and [`super::OUTBOX_MARGIN_MS`].
    pub const OUTBOX: Class = Class(4);
    /// What is counted over 24 hours, whatever L is: uploads, and promises of them.
    pub const DAY: Class = Class(5);
    /// Events of rooms that keep them for less than L (`m.room.retention`): a half of L, a quarter, and so on. An event is in the
    /// shortest that lasts as long as it, so its key goes before twice its time is over.
    pub const HALVED: [Class; 4] = [Class(6), Class(7), Class(8), Class(9)];
    /// Events of accounts that keep their text for longer (D11), and what hangs on them: one class for each of [`super::LONGER`].
    pub const LONGER: [Class; 8] = [Class(10), Class(11), Class(12), Class(13), Class(14), Class(15), Class(16), Class(17)];
    /// What outlives such events by an hour, as [`TO_DEVICE`] and [`OUTBOX`] do others: each of [`LONGER`], and the hour.
    pub const LONGER_AND_HOUR: [Class; 8] =
        [Class(18), Class(19), Class(20), Class(21), Class(22), Class(23), Class(24), Class(25)];
}

/// How many times L an account may keep its text, beside once (D11). Each has classes of its own, so that the key of an event is
/// destroyed as soon after its end as any other's (D3).
pub const LONGER: [u64; 8] = [2, 3, 4, 5, 6, 7, 14, 30];

/// The Megolm rotation period set in rooms that Vestibule makes (one hour): keys for a message sent just before a
/// rotation have to outlive it.
pub const MEGOLM_ROTATION_MS: u64 = 3_600_000;

/// How long after something has expired it can still be told that it has: longer than a restart takes.
pub const OUTBOX_MARGIN_MS: u64 = 3_600_000;

/// The lifetime of [`class::MINUTES`].
pub const MINUTES_MS: u64 = 3_600_000;

const _: () = assert!(MEGOLM_ROTATION_MS == OUTBOX_MARGIN_MS, "one class of L and an hour serves both");

/// How long each class lives where L is `retention_ms`, in the order of [`class`].
#[must_use]
pub fn lifetimes_ms(retention_ms: u64) -> Vec<u64> {
    let (to_device, outbox) = (retention_ms + MEGOLM_ROTATION_MS, retention_ms + OUTBOX_MARGIN_MS);
    let whole = [retention_ms, to_device, retention_ms, MINUTES_MS, outbox, crate::media::DAY_MS];
    let halved = (1..).zip(class::HALVED).map(|(halvings, _)| (retention_ms >> halvings).max(1));
    let longer = LONGER.map(|times| retention_ms.saturating_mul(times));
    let and_hour = longer.map(|lifetime_ms| lifetime_ms.saturating_add(MEGOLM_ROTATION_MS));
    whole.into_iter().chain(halved).chain(longer).chain(and_hour).collect()
}

/// What the engine knows of the server it decides for. Fixed while the process runs.
pub struct Server {
    /// The part after the colon in ids.
    pub name: OwnedServerName,
    /// Signs events.
    pub signing_key: Ed25519KeyPair,
    /// The version of rooms made without asking for one.
    pub default_room_version: RoomVersionId,
    /// L in milliseconds.
    pub retention_ms: u64,
    /// Bytes of one upload at most.
    pub upload_size_max: u64,
    /// Bytes one user may upload in any 24 hours.
    pub upload_per_day: u64,
    /// Whether anybody may register.
    pub registration_open: bool,
    /// Application services, by their id.
    pub appservices: BTreeMap<String, Appservice>,
    /// How often per second one user may send; `None`: as often as they like.
    pub rates_enabled: bool,
    /// Whether the platform has a webhook, and is told of what happens.
    pub webhooks: bool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Server {
    /// Whether `user_id` lives here.
    #[must_use]
    pub fn is_local(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.name
    }

    /// The server's name as a reference.
    #[must_use]
    pub fn name(&self) -> &ServerName {
        &self.name
    }
}

/// A registered application service.
#[derive(Clone, Debug)]
pub struct Appservice {
    /// Its registration.
    pub registration: Registration,
    /// `@sender_localpart:server`.
    pub user_id: OwnedUserId,
    /// Whether it asks for typing, receipts and presence as services did before the specification had them (MSC2409): it is
    /// told under that name too.
    pub older_ephemeral: bool,
    /// The compiled namespaces live in the shell; the engine asks this.
    pub interest: std::sync::Arc<dyn Interest>,
}

/// Which names an application service has asked for
/// ([spec v1.19, Application Service API § Registration](https://spec.matrix.org/v1.19/application-service-api/#registration)).
pub trait Interest: fmt::Debug + Send + Sync {
    /// Whether the user is in its `users` namespace (or is its own sender).
    fn user(&self, user_id: &UserId) -> bool;
    /// Whether the user is in an exclusive `users` namespace.
    fn user_exclusive(&self, user_id: &UserId) -> bool;
    /// Whether the alias is in its `aliases` namespace.
    fn alias(&self, alias: &str) -> bool;
    /// Whether the alias is in an exclusive `aliases` namespace.
    fn alias_exclusive(&self, alias: &str) -> bool;
    /// Whether the room is in its `rooms` namespace.
    fn room(&self, room_id: &RoomId) -> bool;
}

/// A view, the server, and short names for what every command does with them.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    /// Everything committed so far, with expiry judged at the command's moment.
    pub view: &'a dyn View,
    /// The server.
    pub server: &'a Server,
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("seq", &self.view.seq()).finish_non_exhaustive()
    }
}

impl<'a> Cx<'a> {
    /// Over a view.
    #[must_use]
    pub const fn new(view: &'a dyn View, server: &'a Server) -> Self {
        Self { view, server }
    }

    /// The command's moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.view.now()
    }

    /// A user's name in keys.
    #[must_use]
    pub fn user(&self, user_id: &UserId) -> Name {
        self.view.name(user_id.as_str())
    }

    /// A room's name in keys.
    #[must_use]
    pub fn room(&self, room_id: &RoomId) -> Name {
        self.view.name(room_id.as_str())
    }

    /// An event's name in keys.
    #[must_use]
    pub fn event(&self, event_id: &EventId) -> Name {
        self.view.name(event_id.as_str())
    }

    /// A device's name in keys (always beside its user's).
    #[must_use]
    pub fn device(&self, device_id: &DeviceId) -> Name {
        self.view.name(device_id.as_str())
    }

    /// Any other text's name in keys.
    #[must_use]
    pub fn name(&self, natural: &str) -> Name {
        self.view.name(natural)
    }

    /// The retention class of what lives L.
    #[must_use]
    pub const fn text_class(&self) -> Class {
        class::TEXT
    }

    /// The shortest class that lasts for `lifetime_ms`.
    #[must_use]
    pub fn text_class_for(&self, lifetime_ms: u64) -> Class {
        if lifetime_ms > self.server.retention_ms {
            return self.longer(class::LONGER, lifetime_ms);
        }
        let halved = (1..).zip(class::HALVED).filter(|(halvings, _)| lifetime_ms <= self.server.retention_ms >> halvings);
        halved.last().map_or(class::TEXT, |(_, class)| class)
    }

    /// The shortest class that lasts for `lifetime_ms` and an hour: `within`, which is [`class::TO_DEVICE`] or [`class::OUTBOX`],
    /// for L at most.
    #[must_use]
    pub fn class_and_hour(&self, within: Class, lifetime_ms: u64) -> Class {
        if lifetime_ms > self.server.retention_ms { self.longer(class::LONGER_AND_HOUR, lifetime_ms) } else { within }
    }

    /// The class of a row about something that ends at `expires`, and has been there for a while. No shorter one than L: as many
    /// classes as are in use have to be looked through for one row.
    #[must_use]
    pub fn class_until(&self, expires: Timestamp) -> Class {
        self.text_class_for(self.left_ms(expires).max(self.server.retention_ms))
    }

    /// Milliseconds from now until `expires`.
    #[must_use]
    pub fn left_ms(&self, expires: Timestamp) -> u64 {
        expires.as_ms().saturating_sub(self.now().as_ms())
    }

    fn longer(&self, classes: [Class; LONGER.len()], lifetime_ms: u64) -> Class {
        let lasts = |times: u64| lifetime_ms <= self.server.retention_ms.saturating_mul(times);
        let [.., longest] = classes;
        LONGER.into_iter().zip(classes).find(|(times, _)| lasts(*times)).map_or(longest, |(_, class)| class)
    }

    /// When an event received now expires (D1).
    #[must_use]
    pub fn text_expiry(&self) -> Timestamp {
        self.now().plus_ms(self.server.retention_ms)
    }
}

/// Who asks, as the access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device, if the token belongs to one (an application service's may not).
    pub device_id: Option<ruma::OwnedDeviceId>,
    /// The application service that asks, for itself or for a user in its namespace.
    pub appservice: Option<String>,
}
