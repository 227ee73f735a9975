//! Sending messages and state
//! ([spec v1.19, § Sending events to a room](https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room)).

use journal::{Name, Timestamp};
use ruma::{
    CanonicalJsonObject, EventId, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedTransactionId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    NewEvent, Relation, Room, RoomDraft, aliases,
    client_event::relation_in,
    create::canonical,
    get_event, get_room_for, join_rules,
    membership::{self, Action, SetMembership},
    membership_of, power, redact, relation_of,
};
use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop, account, policy,
    tables::{self, SentBy, TransactionRow},
};

/// `PUT /rooms/{roomId}/send/{eventType}/{txnId}`.
#[derive(Debug)]
pub struct SendEvent {
    /// Who sends it.
    pub sender: OwnedUserId,
    /// From which device; `None` for an application service without one.
    pub device_id: Option<OwnedDeviceId>,
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its type.
    pub event_type: TimelineEventType,
    /// What makes a repeated request the same request.
    pub txn_id: OwnedTransactionId,
    /// Its content, as sent.
    pub content: Box<RawValue>,
    /// An application service's own time for it.
    pub timestamp: Option<Timestamp>,
}

/// `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`.
#[derive(Debug)]
pub struct SendState {
    /// Who sends it.
    pub sender: OwnedUserId,
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its type.
    pub event_type: StateEventType,
    /// Its state key.
    pub state_key: String,
    /// Its content, as sent.
    pub content: Box<RawValue>,
    /// An application service's own time for it.
    pub timestamp: Option<Timestamp>,
}

/// Sends a message. A repeated transaction answers the event it made.
///
/// # Errors
/// `M_FORBIDDEN`, `M_NOT_FOUND`, `M_TOO_LARGE`, `M_BAD_JSON`, `M_DUPLICATE_ANNOTATION`.
pub fn send_event(cx: &Cx<'_>, command: &SendEvent) -> Decided<OwnedEventId> {
    let transaction = Transaction::of_send(cx, command);
    if let Some(event_id) = transaction.done(cx)? {
        return Ok(Decision::Done(event_id));
    }
    let room = get_room_for(cx, &command.room_id, &command.sender)?;
    policy::may_send(cx, &command.sender, &command.room_id)?;
    let content = parse_content(&command.content)?;
    check_relation(cx, command)?;
    let mut draft = Draft::new(*cx);
    let redacts = redacted_by(&content).filter(|_| command.event_type == TimelineEventType::RoomRedaction);
    let event = NewEvent {
        transaction: Some(SentBy { device: transaction.key.1, txn_id: command.txn_id.to_string() }),
        origin_server_ts: command.timestamp,
        ..NewEvent::message(&command.sender, command.event_type.clone(), content)
    };
    let event_id = if let Some(target) = redacts {
        redact::append_redaction(cx, &mut draft, room, event, &target)?
    } else {
        let mut room = RoomDraft::open(&mut draft, room)?;
        let event_id = room.append(event)?;
        room.finish();
        event_id
    };
    transaction.record(&mut draft, &event_id);
    Ok(draft.commit(event_id))
}

/// Sets state. The same content again, by the same sender, answers the event that is already there.
///
/// # Errors
/// `M_FORBIDDEN`, `M_NOT_FOUND`, `M_TOO_LARGE`, `M_BAD_JSON`, `M_BAD_ALIAS`.
pub fn send_state(cx: &Cx<'_>, command: &SendState) -> Decided<OwnedEventId> {
    let room = get_room_for(cx, &command.room_id, &command.sender)?;
    policy::may_send(cx, &command.sender, &command.room_id)?;
    let mut content = parse_content(&command.content)?;
    let mut draft = Draft::new(*cx);
    let invited = match command.event_type {
        StateEventType::RoomMember => {
            let invited = check_member(cx, command)?;
            join_rules::complete_join(&mut draft, &room, &command.sender, &mut content)?;
            invited
        }
        StateEventType::RoomCanonicalAlias => {
            check_canonical_alias(cx, command)?;
            None
        }
        StateEventType::RoomCreate => return Err(Reject::bad_json("a room begins once: it has its m.room.create").into()),
        StateEventType::RoomPowerLevels => {
            check_power_levels(cx, &room, &content)?;
            None
        }
        _ => None,
    };
    let mut room = RoomDraft::open(&mut draft, room)?;
    if let Some(current) = room.state(&command.event_type, &command.state_key)? {
        let same = current.content_as::<CanonicalJsonObject>().is_some_and(|current| current == content);
        let sender_in_room = membership_of(cx, &command.room_id, &command.sender)? == Some(MembershipState::Join);
        if same && sender_in_room && current.sender == command.sender {
            return Ok(Decision::Done(current.event_id.clone()));
        }
    }
    let event = NewEvent {
        origin_server_ts: command.timestamp,
        ..NewEvent::state(&command.sender, command.event_type.clone(), &command.state_key, content)
    };
    let event_id = room.append(event)?;
    room.finish();
    if let Some(target) = invited {
        policy::claim_pairs(&mut draft, &command.room_id, &command.sender, &[target])?;
    }
    Ok(draft.commit(event_id))
}

/// The content of an event as a client sent it.
///
/// # Errors
/// `M_BAD_JSON` when it is not an object that canonical JSON can hold.
pub fn parse_content(content: &RawValue) -> Result<CanonicalJsonObject, Reject> {
    let value: Value =
        serde_json::from_str(content.get()).map_err(|_| Reject::bad_json("an event's content has to be a JSON object"))?;
    canonical(&value)
}

fn redacted_by(content: &CanonicalJsonObject) -> Option<OwnedEventId> {
    content.get("redacts")?.as_str()?.try_into().ok()
}

/// A transaction id is the client's word for "this is the same request", for its device and this endpoint
/// ([spec v1.19, § Transaction identifiers](https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers)).
pub(super) struct Transaction {
    key: (Name, Name, Name),
}

impl Transaction {
    fn of_send(cx: &Cx<'_>, command: &SendEvent) -> Self {
        let endpoint = format!("send {} {} {}", command.room_id, command.event_type, command.txn_id);
        Self::new(cx, &command.sender, command.device_id.as_deref(), &endpoint)
    }

    /// Of a request to `endpoint`, which includes the transaction id.
    pub(super) fn new(cx: &Cx<'_>, user_id: &UserId, device_id: Option<&ruma::DeviceId>, endpoint: &str) -> Self {
        Self { key: (cx.user(user_id), cx.name(device_id.map_or("", |device| device.as_str())), cx.name(endpoint)) }
    }

    /// The device's name, for the echo of the transaction id.
    pub(super) const fn device(&self) -> Name {
        self.key.1
    }

    /// What the transaction has come to, if it has been done.
    pub(super) fn done(&self, cx: &Cx<'_>) -> Result<Option<OwnedEventId>, Stop> {
        Ok(tables::TRANSACTIONS.get(cx.view, &self.key)?.and_then(|row| row.value.event_id))
    }

    /// The event that waits because of it.
    pub(super) fn delayed(&self, cx: &Cx<'_>) -> Result<Option<String>, Stop> {
        Ok(tables::TRANSACTIONS.get(cx.view, &self.key)?.and_then(|row| row.value.delay_id))
    }

    /// Remembers the event it sent.
    pub(super) fn record(&self, draft: &mut Draft<'_>, event_id: &OwnedEventId) {
        self.put(draft, TransactionRow { event_id: Some(event_id.clone()), ..TransactionRow::default() });
    }

    /// Remembers the event that waits because of it.
    pub(super) fn record_delayed(&self, draft: &mut Draft<'_>, delay_id: &str) {
        self.put(draft, TransactionRow { delay_id: Some(delay_id.to_owned()), ..TransactionRow::default() });
    }

    /// Remembers what it came to; of two at once, one commits.
    fn put(&self, draft: &mut Draft<'_>, row: TransactionRow) {
        let cx = draft.cx();
        tables::TRANSACTIONS.require(&mut draft.batch, &self.key, None);
        tables::TRANSACTIONS.put(&mut draft.batch, &self.key, &row, cx.text_class(), cx.text_expiry());
    }
}

/// What the server answers for in a relation: one reaction with one key by one user to one event, and no thread that begins in what
/// relates to something itself ([spec v1.19, § Threading](https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-27)).
fn check_relation(cx: &Cx<'_>, command: &SendEvent) -> Result<(), Stop> {
    let Some(relation) = relation_in(&command.content) else { return Ok(()) };
    match relation.rel_type.as_str() {
        "m.annotation" => check_annotation(cx, command, &relation),
        "m.thread" => check_thread(cx, &command.room_id, &relation.event_id),
        _ => Ok(()),
    }
}

fn check_thread(cx: &Cx<'_>, room_id: &RoomId, root: &EventId) -> Result<(), Stop> {
    let root = get_event(cx, room_id, root)?;
    if root.is_some_and(|root| relation_of(&root.row.pdu).is_some()) {
        let message = "a thread cannot begin in an event that relates to another; answer in the thread of that one";
        return Err(Reject::Unknown(message.into()).into());
    }
    Ok(())
}

fn check_annotation(cx: &Cx<'_>, command: &SendEvent, relation: &Relation) -> Result<(), Stop> {
    for found in tables::RELATIONS.scan(cx.view, &(cx.room(&command.room_id), cx.event(&relation.event_id))) {
        let row = found?.1.value;
        let same_kind = row.rel_type == relation.rel_type && row.event_type == command.event_type.to_string();
        if same_kind && row.sender == command.sender && row.key == relation.key {
            return Err(Reject::DuplicateAnnotation.into());
        }
    }
    Ok(())
}

/// A membership set through the state endpoint is asked of policy like one set by its own call. Answers who is invited by it.
fn check_member(cx: &Cx<'_>, command: &SendState) -> Result<Option<OwnedUserId>, Stop> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
        displayname: Option<String>,
    }
    let target = UserId::parse(&*command.state_key)
        .map_err(|_| Reject::bad_json("the state key of a member event has to be a user id"))?;
    let content: Content =
        serde_json::from_str(command.content.get()).map_err(|_| Reject::bad_json("a member event needs a membership"))?;
    let own = target == command.sender;
    let action = match content.membership {
        MembershipState::Invite => Action::Invite,
        MembershipState::Join => Action::Join,
        MembershipState::Knock => Action::Knock,
        MembershipState::Ban => Action::Ban,
        _ if own => return Ok(None),
        _ => Action::Kick,
    };
    let invited = (action == Action::Invite).then(|| target.clone());
    if own && content.displayname != account::profile::member_profile(cx, &target)?.display_name {
        policy::may_change_profile(cx, &target, true)?;
    }
    let change = SetMembership {
        sender: command.sender.clone(),
        room_id: command.room_id.clone(),
        target,
        action,
        reason: None,
        further: CanonicalJsonObject::new(),
    };
    membership::check_policy(cx, &change)?;
    Ok(invited)
}

/// Creators whose power no event limits are not listed among those who have some
/// ([spec v1.19, Room version 12 § Authorization rules](https://spec.matrix.org/v1.19/rooms/v12/#authorization-rules)).
fn check_power_levels(cx: &Cx<'_>, room: &Room, content: &CanonicalJsonObject) -> Result<(), Stop> {
    let Some(users) = content.get("users").and_then(|users| users.as_object()) else { return Ok(()) };
    let creators = power::privileged_creators(cx, room)?;
    if creators.iter().any(|creator| users.contains_key(creator.as_str())) {
        return Err(Reject::bad_json("whoever made this room is not listed in `users`: nothing limits their power").into());
    }
    Ok(())
}

/// Aliases in `m.room.canonical_alias` have to be aliases of this room, unless they were there before.
fn check_canonical_alias(cx: &Cx<'_>, command: &SendState) -> Result<(), Stop> {
    #[derive(Default, Deserialize)]
    struct Content {
        alias: Option<String>,
        #[serde(default)]
        alt_aliases: Vec<String>,
    }
    let content: Content = serde_json::from_str(command.content.get())
        .map_err(|_| Reject::bad_json("m.room.canonical_alias has an alias and a list of alt_aliases"))?;
    let before = super::state_event(cx, &command.room_id, &StateEventType::RoomCanonicalAlias, "")?
        .and_then(|pdu| pdu.content_as::<Content>())
        .unwrap_or_default();
    let new = content.alias.iter().chain(&content.alt_aliases);
    for alias in new.filter(|alias| before.alias.as_ref() != Some(alias) && !before.alt_aliases.contains(alias)) {
        let parsed = ruma::RoomAliasId::parse(&**alias).map_err(|_| Reject::invalid_param("this is not a room alias"))?;
        let bad = || Reject::BadAlias("this alias does not name this room; add it to the directory first".into());
        match aliases::resolve(cx, &parsed) {
            Ok(row) if row.room_id == command.room_id => {}
            Ok(_) | Err(Stop::Reject(_)) => return Err(bad().into()),
            Err(read) => return Err(read),
        }
    }
    Ok(())
}
