//! The Matrix side: consumes transactions, joins where support is invited, reads what people write, says what agents
//! answer. One task does all of it in order, so nothing here needs a lock.

use std::{sync::Arc, time::Duration};

use appservice::{CallError, Homeserver, Transaction};
use ruma::{
    EventId, OwnedRoomId, OwnedTransactionId,
    api::client::{
        membership::{join_room_by_id, joined_rooms, leave_room},
        message::{get_message_events, send_message_event},
        receipt::create_receipt,
        state::get_state_events,
    },
    events::{AnyMessageLikeEventContent, MessageLikeEventType},
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Millis, now_ms},
    content,
    database::StoreError,
    device::{Decrypted, Device, DeviceError},
    receive,
    store::{Membership, PendingReply, PostBody, ReplyBody, Room, RoomChange, Store, Waiting, WaitingEvent},
    typing::{PERSON_MS, Typing},
};

/// Without news the rows are looked through this often: for keys that came late and retries that are due.
const ROUND: Duration = Duration::from_secs(2);
/// How long a key may be late before people are told.
const KEY_PATIENCE_MS: Millis = 30_000;
/// How much is read of what was said before joining: a chat begins with an invitation, so there is little.
const MISSED_PAGE: u16 = 100;
const MISSED_PAGES_MAX: usize = 5;
/// The first pause after a failed reply, doubled each time.
const REPLY_PAUSE_MS: Millis = 1000;
const REPLY_PAUSE_MS_MAX: Millis = 60_000;

/// Everything the Matrix side needs.
pub struct Matrix {
    /// The device.
    pub device: Device,
    /// The rows.
    pub store: Store,
    /// Wakes this task.
    pub poke: Arc<Notify>,
    /// Wakes the helpdesk's.
    pub desk: Arc<Notify>,
    /// Rooms where somebody is typing.
    pub typing: Typing,
}

impl Matrix {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut found_rooms = false;
        while !stop.is_cancelled() {
            if !found_rooms {
                found_rooms = log_failure("looking for rooms", self.find_rooms().await);
            }
            log_failure("consuming transactions", self.consume_transactions().await);
            log_failure("settling rooms", self.settle_rooms().await);
            log_failure("reading", self.read_events().await);
            log_failure("ending chats", self.end_lost_conversations().await);
            log_failure("replying", self.send_replies().await);
            log_failure("exchanging keys", self.device.pump().await);
            tokio::select! {
                () = self.poke.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn homeserver(&self) -> &Homeserver {
        self.device.homeserver()
    }

    /// Rooms the homeserver says support is in, should the rows not know them (a lost data folder).
    async fn find_rooms(&self) -> Result<(), DeviceError> {
        let joined = self.homeserver().send(joined_rooms::v3::Request::new()).await?;
        let mut changes = Vec::new();
        for room_id in joined.joined_rooms {
            if self.store.room(room_id.to_string()).await?.is_none() {
                changes.push(RoomChange::Own { room_id: room_id.to_string(), membership: Membership::Join });
            }
        }
        Ok(self.store.change_rooms(changes, now_ms()).await?)
    }

    /// Takes what the homeserver pushed: first what concerns keys, then, in one write, everything else.
    async fn consume_transactions(&self) -> Result<(), DeviceError> {
        while let Some(received) = self.store.next_transaction().await? {
            let transaction = Transaction::parse(&received.body).unwrap_or_default();
            self.device.receive(&transaction).await?;
            for (room_id, typing) in receive::typing(&transaction, self.device.user_id()) {
                let until = typing.then_some(received.received_ms + PERSON_MS);
                if self.typing.set(&room_id, until, now_ms()) {
                    self.desk.notify_one();
                }
            }
            let follows = receive::consequences(&transaction, self.device.user_id(), received.received_ms);
            let now = now_ms();
            self.store.consume_transaction(received.seq, follows.changes, follows.events, follows.redacted, now).await?;
        }
        Ok(())
    }

    /// Joins rooms support is invited to, reads their state, leaves those where nobody else is.
    async fn settle_rooms(&self) -> Result<(), DeviceError> {
        for room in self.store.rooms_to_settle().await? {
            match self.settle(&room).await {
                Ok(()) => {}
                Err(DeviceError::Call(CallError::Refused { status, errcode })) => {
                    tracing::warn!(%status, errcode, "a room can't be joined or read; given up");
                    self.set_left(&room.room_id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn settle(&self, room: &Room) -> Result<(), DeviceError> {
        let room_id = OwnedRoomId::try_from(room.room_id.as_str())
            .map_err(|_| DeviceError::Call(CallError::Protocol("a room id is malformed".to_owned())))?;
        if room.membership == Membership::Invite {
            self.homeserver().send(join_room_by_id::v3::Request::new(room_id.clone())).await?;
            let joined = RoomChange::Own { room_id: room.room_id.clone(), membership: Membership::Join };
            self.store.change_rooms(vec![joined], now_ms()).await?;
            tracing::info!("joined a room");
        }
        if !room.state_loaded {
            self.load_state(&room_id).await?;
        }
        let Some(room) = self.store.room(room.room_id.clone()).await? else { return Ok(()) };
        if room.membership != Membership::Join || !room.state_loaded {
            return Ok(());
        }
        self.device.watch(room.recipients()).await?;
        if room.has_company() && room.encryption.is_some() {
            return Ok(());
        }
        if room.has_company() {
            // Said in the clear, since there is no other way to say it here; nothing else ever is.
            let text = "This room is not encrypted, so support can't answer here. Please start the chat again.";
            let notice = content::write(&ReplyBody::Notice { text: text.to_owned() }).unwrap_or_default();
            let txn_id = self.txn_id(&format!("unencrypted:{}", room.room_id));
            self.send_event(&room.room_id, "m.room.message", &raw(&notice)?, txn_id).await?;
        }
        self.leave(&room.room_id).await
    }

    async fn load_state(&self, room_id: &OwnedRoomId) -> Result<(), DeviceError> {
        #[derive(Deserialize)]
        struct StateEvent {
            #[serde(rename = "type")]
            event_type: String,
            state_key: String,
            content: Box<RawValue>,
        }
        let state = self.homeserver().send(get_state_events::v3::Request::new(room_id.clone())).await?;
        let mut changes: Vec<RoomChange> = state
            .room_state
            .iter()
            .filter_map(|event| serde_json::from_str::<StateEvent>(event.json().get()).ok())
            .filter_map(|event| {
                let (event_type, state_key) = (&event.event_type, &event.state_key);
                receive::state_change(room_id.as_str(), event_type, state_key, &event.content, self.device.user_id())
            })
            .collect();
        changes.push(RoomChange::Loaded { room_id: room_id.to_string() });
        let events = self.missed_messages(room_id).await?;
        Ok(self.store.room_loaded(changes, events, now_ms()).await?)
    }

    /// What was written between the invitation and the join: homeservers push events only of rooms a user is in.
    async fn missed_messages(&self, room_id: &OwnedRoomId) -> Result<Vec<WaitingEvent>, DeviceError> {
        let mut missed = Vec::new();
        let mut from = None;
        for _ in 0..MISSED_PAGES_MAX {
            let mut request = get_message_events::v3::Request::backward(room_id.clone());
            request.from = from;
            request.limit = MISSED_PAGE.into();
            let page = match self.homeserver().send(request).await {
                Ok(page) => page,
                // A room may keep what was said before from those who come later.
                Err(CallError::Refused { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            missed.extend(page.chunk);
            from = page.end;
            if from.is_none() {
                break;
            }
        }
        missed.reverse();
        Ok(receive::of_events(&missed, self.device.user_id(), now_ms()).events)
    }

    async fn leave(&self, room_id: &str) -> Result<(), DeviceError> {
        if let Ok(room_id) = OwnedRoomId::try_from(room_id) {
            match self.homeserver().send(leave_room::v3::Request::new(room_id)).await {
                // Refused: out already.
                Ok(_) | Err(CallError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.set_left(room_id).await
    }

    async fn set_left(&self, room_id: &str) -> Result<(), DeviceError> {
        let left = RoomChange::Own { room_id: room_id.to_owned(), membership: Membership::Leave };
        Ok(self.store.change_rooms(vec![left], now_ms()).await?)
    }

    /// Reads every event that waits, in order; those whose key is missing stay.
    async fn read_events(&self) -> Result<(), DeviceError> {
        for waiting in self.store.waiting_events(now_ms()).await? {
            let event = &waiting.event;
            let name = self.name_of(&event.room_id, &event.sender).await?;
            let decrypted = if is_plain(&event.json) {
                Decrypted::Never
            } else {
                self.device.decrypt(&event.room_id, &event.json).await?
            };
            match decrypted {
                Decrypted::Event(decrypted) => {
                    let body = content::read(decrypted.json().get(), &name);
                    self.store.event_read(&waiting, body).await?;
                    self.desk.notify_one();
                }
                Decrypted::KeyMissing if waiting.complained => {}
                Decrypted::KeyMissing if now_ms() - event.received_ms < KEY_PATIENCE_MS => {}
                Decrypted::KeyMissing => self.complain(&waiting, &name, false).await?,
                Decrypted::Never if waiting.complained => self.store.event_read(&waiting, None).await?,
                Decrypted::Never => self.complain(&waiting, &name, true).await?,
            }
        }
        Ok(())
    }

    /// Tells both sides that a message can't be read; nothing is dropped in silence.
    async fn complain(&self, waiting: &Waiting, name: &str, give_up: bool) -> Result<(), DeviceError> {
        tracing::warn!(give_up, "an event can't be read");
        let note = PostBody::Note {
            text: format!("{name} sent a message that can't be read here. They have been asked to send it again."),
        };
        let ask = ReplyBody::Notice { text: "Support could not read your last message. Please send it again.".to_owned() };
        self.store.event_unreadable(waiting, note, ask, give_up).await?;
        self.desk.notify_one();
        Ok(())
    }

    async fn name_of(&self, room_id: &str, user_id: &str) -> Result<String, DeviceError> {
        let room = self.store.room(room_id.to_owned()).await?;
        let name = room.as_ref().and_then(|room| room.name_of(user_id));
        let localpart = || user_id.trim_start_matches('@').split(':').next().unwrap_or_default();
        Ok(name.unwrap_or_else(localpart).to_owned())
    }

    /// Chats in rooms support is no longer in are over.
    async fn end_lost_conversations(&self) -> Result<(), DeviceError> {
        for room_id in self.store.conversations_without_room().await? {
            let note = PostBody::Over { text: "The person has left the chat.".to_owned() };
            self.store.conversation_over(room_id, note, now_ms()).await?;
            self.desk.notify_one();
        }
        Ok(())
    }

    /// Says every due reply in its room.
    async fn send_replies(&self) -> Result<(), DeviceError> {
        loop {
            let replies = self.store.replies_due(now_ms()).await?;
            if replies.is_empty() {
                return Ok(());
            }
            for reply in replies {
                match self.send_reply(&reply).await {
                    Ok(()) => {}
                    Err(DeviceError::Store(error)) => return Err(error.into()),
                    Err(DeviceError::NotEncrypted | DeviceError::Call(CallError::Refused { .. })) => {
                        self.undelivered(&reply).await?;
                    }
                    Err(error) => {
                        tracing::warn!(conversation = reply.conversation_id, %error, "reply delayed");
                        let pause = (REPLY_PAUSE_MS << reply.attempts.min(6)).min(REPLY_PAUSE_MS_MAX);
                        self.store.reply_delayed(reply.reply_id, now_ms() + pause).await?;
                    }
                }
            }
        }
    }

    async fn send_reply(&self, reply: &PendingReply) -> Result<(), DeviceError> {
        let room = self.store.room(reply.room_id.clone()).await?;
        let room = room.filter(|room| room.membership == Membership::Join && room.has_company());
        let Some(room) = room else {
            return self.undelivered(reply).await.map_err(DeviceError::from);
        };
        if let ReplyBody::Seen { event_id } = &reply.body {
            self.send_receipt(&room, event_id).await?;
            return Ok(self.store.reply_done(reply.reply_id).await?);
        }
        let Some(message) = content::write(&reply.body) else {
            return Ok(self.store.reply_done(reply.reply_id).await?);
        };
        let encrypted = self.device.encrypt(&room, "m.room.message", &raw(&message)?).await?;
        self.send_event(&room.room_id, "m.room.encrypted", &encrypted, self.txn_id(&reply.key)).await?;
        if matches!(reply.body, ReplyBody::Closed { .. }) {
            self.leave(&room.room_id).await?;
            return Ok(self.store.reply_closed(reply, now_ms()).await?);
        }
        Ok(self.store.reply_done(reply.reply_id).await?)
    }

    async fn send_event(
        &self,
        room_id: &str,
        event_type: &str,
        content: &Raw<AnyMessageLikeEventContent>,
        txn_id: OwnedTransactionId,
    ) -> Result<(), DeviceError> {
        let room_id = OwnedRoomId::try_from(room_id)
            .map_err(|_| DeviceError::Call(CallError::Protocol("a room id is malformed".to_owned())))?;
        let event_type = MessageLikeEventType::from(event_type);
        let request = send_message_event::v3::Request::new_raw(room_id, txn_id, event_type, content.clone());
        self.homeserver().send(request).await?;
        Ok(())
    }

    async fn send_receipt(&self, room: &Room, event_id: &str) -> Result<(), DeviceError> {
        let (Ok(room_id), Ok(event_id)) = (OwnedRoomId::try_from(room.room_id.as_str()), <&EventId>::try_from(event_id))
        else {
            return Ok(());
        };
        let kind = create_receipt::v3::ReceiptType::Read;
        let request = create_receipt::v3::Request::new(room_id, kind, event_id.to_owned());
        match self.homeserver().send(request).await {
            // The event may have expired meanwhile.
            Ok(_) | Err(CallError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A reply that can't reach anybody: the agent is told, unless there was nothing to tell.
    async fn undelivered(&self, reply: &PendingReply) -> Result<(), StoreError> {
        let now = now_ms();
        match &reply.body {
            ReplyBody::Message { .. } => {
                let text = "Your last message was not delivered: the person is no longer in the chat.".to_owned();
                self.store.note(reply.conversation_id, format!("undelivered:{}", reply.key), text, now).await?;
                self.store.reply_done(reply.reply_id).await?;
                self.desk.notify_one();
                Ok(())
            }
            ReplyBody::Closed { .. } => self.store.reply_closed(reply, now).await,
            ReplyBody::Seen { .. } | ReplyBody::Notice { .. } => self.store.reply_done(reply.reply_id).await,
        }
    }

    /// The same reply always has the same transaction id, so that the homeserver takes it once; another device (after a
    /// lost data folder) never has it.
    fn txn_id(&self, key: &str) -> OwnedTransactionId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.device.device_id().as_bytes()).update(&[0]).update(key.as_bytes());
        format!("support-{}", &hasher.finalize().to_hex()[..32]).into()
    }
}

fn raw(content: &Value) -> Result<Raw<AnyMessageLikeEventContent>, DeviceError> {
    Ok(Raw::new(content).map_err(|error| DeviceError::Crypto(error.to_string()))?.cast_unchecked())
}

/// Whether an event came unencrypted. Support doesn't read those: the homeserver could have written them.
fn is_plain(json: &str) -> bool {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        event_type: String,
    }
    serde_json::from_str::<Typed>(json).is_ok_and(|event| event.event_type != "m.room.encrypted")
}

fn log_failure<E: std::fmt::Display>(what: &str, result: Result<(), E>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "{what} failed; tried again");
            false
        }
    }
}
