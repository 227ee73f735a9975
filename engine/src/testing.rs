//! What the engine's tests share: a server in memory, its clock, and people on it.

use std::{cell::Cell, collections::BTreeMap, sync::Arc};

use journal::{ClassTable, Journal as _, MemoryJournal, Outcome, Retention, Timestamp, View};
use ruma::{
    CanonicalJsonObject, DeviceId, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId,
    api::appservice::{Namespaces, Registration, RegistrationInit},
    api::client::room::create_room,
    owned_server_name,
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    Appservice, Cx, Decided, Decision, Interest, Reject, Requester, Server, Stop, lifetimes_ms,
    platform::{PutOrganizationAccount, put_organization_account, tests as provision},
    room::{
        create, membership,
        send::{SendEvent, SendState, send_event, send_state},
    },
    sync::Ephemeral,
    tables::{self, DeviceRow, UserKind, UserRow},
};

/// L in tests: a day.
pub const LIFETIME_MS: u64 = 86_400_000;

/// A server in memory with a clock that the test moves.
pub struct World {
    pub journal: MemoryJournal,
    pub server: Server,
    now_ms: Cell<u64>,
    rooms: Cell<u64>,
}

impl World {
    pub fn new() -> Self {
        Self::with_appservices([])
    }

    /// With application services; the server's is `example.org`.
    pub fn with_appservices(services: impl IntoIterator<Item = Appservice>) -> Self {
        let retentions = lifetimes_ms(LIFETIME_MS).into_iter().map(|lifetime_ms| Retention { lifetime_ms }).collect();
        let server = Server {
            name: owned_server_name!("example.org"),
            signing_key: key_pair("server"),
            default_room_version: RoomVersionId::V11,
            retention_ms: LIFETIME_MS,
            upload_size_max: 1_000_000,
            upload_per_day: 1_000_000,
            registration_open: true,
            appservices: services.into_iter().map(|service| (service.registration.id.clone(), service)).collect(),
            rates_enabled: false,
            webhooks: true,
        };
        let journal = MemoryJournal::for_tests(ClassTable::new(600_000, retentions));
        Self { journal, server, now_ms: Cell::new(1_800_000_000_000), rooms: Cell::new(0) }
    }

    /// Moves the clock.
    pub fn advance(&self, ms: u64) {
        self.now_ms.set(self.now_ms.get() + ms);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms.get())
    }

    /// Reads from the present state.
    pub fn read<T, E>(&self, read: impl FnOnce(&Cx<'_>) -> Result<T, E>) -> Result<T, E> {
        let view = self.journal.view(self.now());
        read(&Cx::new(&view, &self.server))
    }

    /// Runs a command as the server does: again as long as it meets conflicts.
    pub fn run<T>(&self, decide: impl Fn(&Cx<'_>) -> Decided<T>) -> Result<T, Reject> {
        loop {
            match self.decide(&decide)? {
                Decision::Done(output) => return Ok(output),
                Decision::Commit { batch, output } => {
                    if let Outcome::Committed(_) = self.journal.commit_now(batch).expect("the journal writes") {
                        return Ok(output);
                    }
                }
            }
        }
    }

    /// Only decides: nothing is committed.
    pub fn decide<T>(&self, decide: &impl Fn(&Cx<'_>) -> Decided<T>) -> Result<Decision<T>, Reject> {
        let view = self.journal.view(self.now());
        match decide(&Cx::new(&view as &dyn View, &self.server)) {
            Ok(decision) => Ok(decision),
            Err(Stop::Reject(reject)) => Err(reject),
            Err(Stop::Read(error)) => panic!("the journal cannot be read: {error}"),
        }
    }

    /// Makes a user of a kind, and their first device.
    pub fn user(&self, localpart: &str, kind: UserKind, device_id: &str) -> Person {
        let user_id = UserId::parse(format!("@{localpart}:example.org")).expect("a user id");
        self.run(|cx| {
            let mut draft = crate::Draft::new(*cx);
            let row = UserRow::new(user_id.clone(), kind, cx.now());
            tables::USERS.put(&mut draft.batch, &(cx.user(&user_id),), &row);
            Ok(draft.commit(()))
        })
        .expect("a user");
        self.device(&user_id, device_id)
    }

    /// Another device of a user.
    pub fn device(&self, user_id: &UserId, device_id: &str) -> Person {
        let device_id: OwnedDeviceId = device_id.into();
        self.run(|cx| {
            let mut draft = crate::Draft::new(*cx);
            let row: DeviceRow = serde_json::from_value(json!({
                "device_id": device_id, "display_name": format!("{device_id} of {user_id}"),
                "last_seen": cx.now(), "authenticated": cx.now(),
            }))
            .expect("a device");
            tables::DEVICES.put(&mut draft.batch, &(cx.user(user_id), cx.device(&device_id)), &row);
            Ok(draft.commit(()))
        })
        .expect("a device");
        Person { user_id: user_id.to_owned(), keys: Arc::new(key_pair(device_id.as_str())), device_id }
    }

    /// A room of `creator` with invitations.
    pub fn room(&self, creator: &Person, invite: &[&Person]) -> OwnedRoomId {
        let number = self.rooms.replace(self.rooms.get() + 1);
        let mut request = create_room::v3::Request::new();
        request.invite = invite.iter().map(|person| person.user_id.clone()).collect();
        let random_id = RoomId::parse(format!("!room{number}:example.org")).expect("a room id");
        let command = create::CreateRoom { creator: creator.user_id.clone(), random_id, request };
        self.run(|cx| create::create_room(cx, &command)).expect("a room")
    }

    /// Somebody does something to their own membership.
    pub fn member(&self, person: &Person, room_id: &RoomId, action: membership::Action) {
        self.act(&person.user_id, &person.user_id, room_id, action).expect("a membership");
    }

    /// Somebody does something to a membership.
    pub fn act(&self, sender: &UserId, target: &UserId, room_id: &RoomId, action: membership::Action) -> Result<(), Reject> {
        let (sender, room_id, target) = (sender.to_owned(), room_id.to_owned(), target.to_owned());
        let command =
            membership::SetMembership { sender, room_id, target, action, reason: None, further: CanonicalJsonObject::new() };
        self.run(|cx| membership::set_membership(cx, &command))
    }

    /// A text message; its id.
    pub fn say(&self, person: &Person, room_id: &RoomId, text: &str) -> OwnedEventId {
        let txn_id = format!("{text}-{}", self.now_ms.get());
        let command = event(person, room_id, "m.room.message", &txn_id, &json!({ "msgtype": "m.text", "body": text }));
        self.run(|cx| send_event(cx, &command)).expect("a message")
    }
}

/// Ada and Bob in one room.
pub fn pair() -> (World, Person, Person, OwnedRoomId) {
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "ADA");
    let bob = world.user("bob", UserKind::Plain, "BOB");
    let room_id = world.room(&ada, &[&bob]);
    world.member(&bob, &room_id, membership::Action::Join);
    (world, ada, bob, room_id)
}

/// Hosts of two accounts, and a participant.
pub struct Clinic {
    pub world: World,
    pub ada: Person,
    pub abe: Person,
    pub bob: Person,
    pub pat: Person,
}

/// Ada and Abe are of the account North, which keeps text for seven times L, and Ada has invited Pat. Bob's account, South, says
/// nothing of it.
pub fn clinic() -> Clinic {
    let world = World::new();
    provision::organization(&world, "acme", &[("North", true), ("South", true)]);
    keep_text(&world, Some(7 * LIFETIME_MS)).expect("an account");
    for (host, account) in [("ada", "North"), ("abe", "North"), ("bob", "South")] {
        provision::put_host_named(&world, host, "acme", account, host).expect("a host");
    }
    provision::session(&world, "visit", "ada", &["pat"]).expect("a session");
    let person = |name: &str| {
        let user_id = UserId::parse(format!("@{name}:example.org")).expect("a user id");
        world.device(&user_id, &name.to_uppercase())
    };
    let [ada, abe, bob, pat] = ["ada", "abe", "bob", "pat"].map(person);
    Clinic { world, ada, abe, bob, pat }
}

/// For how long North keeps text from now on; `None` asks.
pub fn keep_text(world: &World, text_retention: Option<u64>) -> Result<Option<u64>, Reject> {
    let command = PutOrganizationAccount {
        organization: "acme".to_owned(),
        account: "North".to_owned(),
        name: "North Clinic".to_owned(),
        chat_enabled: None,
        upload_per_day: None,
        text_retention,
    };
    Ok(world.run(|cx| put_organization_account(cx, &command))?.text_retention)
}

/// The command to send an event.
pub fn event(person: &Person, room_id: &RoomId, event_type: &str, txn_id: &str, content: &Value) -> SendEvent {
    SendEvent {
        sender: person.user_id.clone(),
        device_id: Some(person.device_id.clone()),
        room_id: room_id.to_owned(),
        event_type: event_type.into(),
        txn_id: txn_id.into(),
        content: to_raw_value(content).expect("JSON"),
        timestamp: None,
    }
}

/// The command to set state.
pub fn state_event(sender: &UserId, room_id: &RoomId, event_type: &str, state_key: &str, content: &Value) -> SendState {
    SendState {
        sender: sender.to_owned(),
        room_id: room_id.to_owned(),
        event_type: event_type.into(),
        state_key: state_key.to_owned(),
        content: to_raw_value(content).expect("JSON"),
        timestamp: None,
    }
}

/// Sends an event of this content, once however often it is called; its id.
pub fn send(world: &World, person: &Person, room_id: &RoomId, event_type: &str, content: Value) -> OwnedEventId {
    let command = event(person, room_id, event_type, &content.to_string(), &content);
    world.run(|cx| send_event(cx, &command)).expect("an event")
}

/// Sets state.
pub fn state(world: &World, person: &Person, room_id: &RoomId, event_type: &str, state_key: &str, content: Value) {
    let command = state_event(&person.user_id, room_id, event_type, state_key, &content);
    world.run(|cx| send_state(cx, &command)).expect("a state event");
}

/// Events as words: a message's text, or a state event's type and key.
pub fn words(events: &Value) -> Vec<String> {
    let word = |event: &Value| match event["content"]["body"].as_str() {
        Some(body) => body.to_owned(),
        None => {
            format!("{}/{}", event["type"].as_str().expect("a type"), event["state_key"].as_str().unwrap_or("-"))
        }
    };
    events.as_array().map(|events| events.iter().map(word).collect()).unwrap_or_default()
}

/// Nobody types, nobody is there.
pub struct Nobody;

impl Ephemeral for Nobody {
    fn version(&self) -> u64 {
        0
    }
    fn typing_since(&self, _: Option<u64>) -> Vec<(OwnedRoomId, Vec<OwnedUserId>)> {
        Vec::new()
    }
    fn presence_since(&self, _: Option<u64>) -> Vec<OwnedUserId> {
        Vec::new()
    }
    fn presence_of(&self, _: &UserId) -> Option<Box<serde_json::value::RawValue>> {
        None
    }
}

/// Somebody on one device, with its signing key.
#[derive(Clone)]
pub struct Person {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
    pub keys: Arc<Ed25519KeyPair>,
}

impl Person {
    pub fn requester(&self) -> Requester {
        Requester { user_id: self.user_id.clone(), device_id: Some(self.device_id.clone()), appservice: None }
    }
}

/// A new Ed25519 key whose signatures go under `ed25519:<name>`.
pub fn key_pair(name: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), name.to_owned()).expect("a key")
}

/// A key pair whose signatures go under its own public key, as a cross-signing key's do; and that public key.
pub fn signing_key() -> (Ed25519KeyPair, String) {
    let document = Ed25519KeyPair::generate();
    let public = public_key(&Ed25519KeyPair::from_der(&document, String::new()).expect("a key"));
    (Ed25519KeyPair::from_der(&document, public.clone()).expect("a key"), public)
}

/// Unpadded base64.
pub fn public_key(keys: &Ed25519KeyPair) -> String {
    ruma::serde::Base64::<ruma::serde::base64::Standard>::new(keys.public_key().to_vec()).encode()
}

/// `value`, signed by `user_id` with each of `keys`.
pub fn signed(value: Value, user_id: &UserId, keys: &[&Ed25519KeyPair]) -> Value {
    let mut object: CanonicalJsonObject = serde_json::from_value(value).expect("canonical JSON");
    for keys in keys {
        sign_json(user_id.as_str(), *keys, &mut object).expect("a signature");
    }
    serde_json::to_value(object).expect("JSON")
}

/// A device's identity keys, signed by it.
pub fn device_keys(person: &Person) -> Value {
    device_keys_of(&person.user_id, &person.device_id, &person.keys, &[&person.keys])
}

/// A device's identity keys, signed by `signers`.
pub fn device_keys_of(user_id: &UserId, device_id: &DeviceId, own: &Ed25519KeyPair, signers: &[&Ed25519KeyPair]) -> Value {
    let value = json!({
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {
            (format!("ed25519:{device_id}")): public_key(own),
            (format!("curve25519:{device_id}")): public_key(&key_pair("curve")),
        },
        "org.example.unknown": { "kept": true },
    });
    signed(value, user_id, signers)
}

/// An application service that plays users whose localparts start with `prefix`, and `@<prefix>` itself.
pub fn appservice(id: &str, prefix: &'static str) -> Appservice {
    let mut registration = Registration::from(RegistrationInit {
        id: id.to_owned(),
        url: Some("http://127.0.0.1:1".to_owned()),
        as_token: format!("as-{id}"),
        hs_token: format!("hs-{id}"),
        sender_localpart: prefix.to_owned(),
        namespaces: Namespaces::new(),
        rate_limited: Some(false),
        protocols: None,
    });
    registration.receive_ephemeral = true;
    let user_id = UserId::parse(format!("@{prefix}:example.org")).expect("a user id");
    Appservice { registration, user_id, older_ephemeral: false, interest: Arc::new(Prefix(prefix)) }
}

#[derive(Debug)]
struct Prefix(&'static str);

impl Interest for Prefix {
    fn user(&self, user_id: &UserId) -> bool {
        user_id.localpart().starts_with(self.0)
    }
    fn user_exclusive(&self, user_id: &UserId) -> bool {
        self.user(user_id)
    }
    fn alias(&self, alias: &str) -> bool {
        alias.starts_with(&format!("#{}", self.0))
    }
    fn alias_exclusive(&self, alias: &str) -> bool {
        self.alias(alias)
    }
    fn room(&self, _: &RoomId) -> bool {
        false
    }
}

/// An ordered map from pairs.
pub fn map<K: Ord, V, const N: usize>(pairs: [(K, V); N]) -> BTreeMap<K, V> {
    BTreeMap::from(pairs)
}
