//! A person who chats: a Matrix user with its own encryption machine, by ordinary client calls.

use std::{collections::BTreeMap, io::Read as _, sync::Arc};

use appservice::{Homeserver, Token};
use matrix_sdk_crypto::{
    AttachmentEncryptor, DecryptionSettings, EncryptionSettings, EncryptionSyncChanges, OlmMachine, TrustRequirement,
    types::{
        events::room::encrypted::EncryptedEvent,
        requests::{AnyOutgoingRequest, ToDeviceRequest},
    },
};
use ruma::{
    DeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, TransactionId, UserId,
    api::{
        SupportedVersions,
        client::{
            filter::FilterDefinition,
            keys::get_keys,
            media::create_content,
            membership::leave_room,
            message::send_message_event,
            presence::get_presence,
            redact::redact_event,
            room::create_room,
            sync::sync_events,
            to_device::send_event_to_device,
            typing::create_typing_event::{
                self,
                v3::{Typing, TypingInfo},
            },
        },
    },
    events::{AnyMessageLikeEventContent, EmptyStateKey, InitialStateEvent, room::encryption::RoomEncryptionEventContent},
    serde::Raw,
};
use serde_json::{Value, json};

use super::{SUPPORT, until};

/// More events than any test makes between two looks.
const TIMELINE_MAX: u32 = 1000;

pub struct Person {
    homeserver: Homeserver,
    pub user_id: OwnedUserId,
    pub machine: OlmMachine,
    since: Option<String>,
    /// Everything decrypted so far: (room, sender, content), without this person's own.
    pub heard: Vec<(OwnedRoomId, OwnedUserId, Value)>,
    /// The last known membership of support in each room.
    pub support_in: BTreeMap<OwnedRoomId, String>,
    /// Whether support is typing in each room, as last told.
    pub support_types_in: BTreeMap<OwnedRoomId, bool>,
    waiting: Vec<(OwnedRoomId, Raw<EncryptedEvent>)>,
    withheld: Vec<Arc<ToDeviceRequest>>,
    /// Members of each room, as far as encryption is concerned.
    members: BTreeMap<OwnedRoomId, Vec<OwnedUserId>>,
}

fn settings() -> DecryptionSettings {
    // What careful clients ask for: a support device that isn't cross-signed would not be understood.
    DecryptionSettings { sender_device_trust_requirement: TrustRequirement::CrossSigned }
}

impl Person {
    pub async fn register(url: &str, name: &str) -> Self {
        let account = json!({"username": name, "password": "a long enough password", "auth": {"type": "m.login.dummy"},
            "initial_device_display_name": "bench"});
        let answer =
            reqwest::Client::new().post(format!("{url}/_matrix/client/v3/register")).json(&account).send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let user_id = UserId::parse(answer["user_id"].as_str().unwrap()).unwrap();
        let device_id: &DeviceId = answer["device_id"].as_str().unwrap().into();
        let versions = SupportedVersions::from_parts(&["v1.11".to_owned()], &BTreeMap::new());
        // The application-service client does for any access token.
        let token = Token::new(answer["access_token"].as_str().unwrap());
        let person = Self {
            homeserver: Homeserver::new(url, token, versions).unwrap(),
            machine: OlmMachine::new(&user_id, device_id).await,
            user_id,
            since: None,
            heard: Vec::new(),
            support_in: BTreeMap::new(),
            support_types_in: BTreeMap::new(),
            waiting: Vec::new(),
            withheld: Vec::new(),
            members: BTreeMap::new(),
        };
        person.pump().await;
        person
    }

    pub async fn presence_of_support(&self) -> String {
        let request = get_presence::v3::Request::new(SUPPORT.try_into().unwrap());
        match self.homeserver.send(request).await {
            Ok(answer) => answer.presence.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// An encrypted room with support in it, or invited to it.
    pub async fn start_chat(&mut self) -> OwnedRoomId {
        let mut request = create_room::v3::Request::new();
        request.invite = vec![SUPPORT.try_into().unwrap()];
        request.is_direct = true;
        request.preset = Some(create_room::v3::RoomPreset::PrivateChat);
        let encryption = RoomEncryptionEventContent::with_recommended_defaults();
        request.initial_state = vec![InitialStateEvent::new(EmptyStateKey, encryption).to_raw_any()];
        let room_id = self.homeserver.send(request).await.unwrap().room_id;
        self.members.insert(room_id.clone(), vec![self.user_id.clone(), SUPPORT.try_into().unwrap()]);
        room_id
    }

    /// A chat support has come to.
    pub async fn chat(&mut self) -> OwnedRoomId {
        let room_id = self.start_chat().await;
        self.until_support_is(&room_id, "join").await;
        room_id
    }

    pub async fn until_support_is(&mut self, room_id: &OwnedRoomId, membership: &str) {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while self.support_in.get(room_id).map(String::as_str) != Some(membership) {
            assert!(tokio::time::Instant::now() < deadline, "waited in vain: support is {membership}");
            self.sync().await;
        }
    }

    /// Says that this person is typing, or has stopped.
    pub async fn types(&self, room_id: &OwnedRoomId, typing: bool) {
        let typing = if typing { Typing::Yes(TypingInfo::new(super::PATIENCE)) } else { Typing::No };
        let request = create_typing_event::v3::Request::new(self.user_id.clone(), room_id.clone(), typing);
        self.homeserver.send(request).await.unwrap();
    }

    pub async fn until_support_types(&mut self, room_id: &OwnedRoomId, typing: bool) {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while self.support_types_in.get(room_id).copied().unwrap_or_default() != typing {
            assert!(tokio::time::Instant::now() < deadline, "waited in vain: support is typing: {typing}");
            self.sync().await;
        }
    }

    pub async fn say(&mut self, room_id: &OwnedRoomId, text: &str) -> OwnedEventId {
        self.send(room_id, &json!({"msgtype": "m.text", "body": text})).await
    }

    pub async fn send(&mut self, room_id: &OwnedRoomId, content: &Value) -> OwnedEventId {
        let encrypted = self.encrypt(room_id, content, true).await;
        self.send_encrypted(room_id, &encrypted).await
    }

    pub async fn send_encrypted(&self, room_id: &OwnedRoomId, content: &Raw<AnyMessageLikeEventContent>) -> OwnedEventId {
        let request = send_message_event::v3::Request::new_raw(
            room_id.clone(),
            TransactionId::new(),
            "m.room.encrypted".into(),
            content.clone(),
        );
        self.homeserver.send(request).await.unwrap().event_id
    }

    /// In the clear, which no client of ours does.
    pub async fn send_plain(&self, room_id: &OwnedRoomId, text: &str) {
        let content = Raw::new(&json!({"msgtype": "m.text", "body": text})).unwrap().cast_unchecked();
        let id = TransactionId::new();
        let request = send_message_event::v3::Request::new_raw(room_id.clone(), id, "m.room.message".into(), content);
        self.homeserver.send(request).await.unwrap();
    }

    /// Encrypts; without `share` the key stays here until [`share_withheld`](Self::share_withheld).
    pub async fn encrypt(&mut self, room_id: &OwnedRoomId, content: &Value, share: bool) -> Raw<AnyMessageLikeEventContent> {
        for request in self.share_room_key(room_id).await {
            if share {
                self.send_to_device(&request).await;
            } else {
                self.machine.mark_request_as_sent(&request.txn_id, &to_device_sent()).await.unwrap();
                self.withheld.push(request);
            }
        }
        let content = Raw::new(content).unwrap().cast_unchecked();
        let encrypted = self.machine.encrypt_room_event_raw(room_id, "m.room.message", &content).await.unwrap();
        encrypted.content.cast_unchecked()
    }

    /// Sends what [`encrypt`](Self::encrypt) withheld.
    pub async fn share_withheld(&mut self) {
        for request in std::mem::take(&mut self.withheld) {
            let message = send_event_to_device::v3::Request::new_raw(
                request.event_type.clone(),
                request.txn_id.clone(),
                request.messages.clone(),
            );
            self.homeserver.send(message).await.unwrap();
        }
    }

    /// Sends a file as clients do: encrypted, its keys in the message.
    pub async fn send_file(&mut self, room_id: &OwnedRoomId, name: &str, bytes: &[u8]) -> OwnedEventId {
        let mut plain = bytes;
        let mut encryptor = AttachmentEncryptor::new(&mut plain);
        let mut encrypted = Vec::new();
        encryptor.read_to_end(&mut encrypted).unwrap();
        let mut file = serde_json::to_value(encryptor.finish()).unwrap();
        let uploaded = self.homeserver.send(create_content::v3::Request::new(encrypted)).await.unwrap();
        file["url"] = json!(uploaded.content_uri);
        let info = json!({"mimetype": "text/plain", "size": bytes.len()});
        let content = json!({"msgtype": "m.file", "body": name, "filename": name, "file": file, "info": info});
        self.send(room_id, &content).await
    }

    pub async fn take_back(&self, room_id: &OwnedRoomId, event_id: &OwnedEventId) {
        let request = redact_event::v3::Request::new(room_id.clone(), event_id.clone(), TransactionId::new());
        self.homeserver.send(request).await.unwrap();
    }

    pub async fn leave(&self, room_id: &OwnedRoomId) {
        self.homeserver.send(leave_room::v3::Request::new(room_id.clone())).await.unwrap();
    }

    async fn share_room_key(&self, room_id: &OwnedRoomId) -> Vec<Arc<ToDeviceRequest>> {
        let members = || self.members[room_id].iter().map(AsRef::as_ref);
        self.machine.update_tracked_users(members()).await.unwrap();
        self.pump().await;
        if let Some((id, claim)) = self.machine.get_missing_sessions(members()).await.unwrap() {
            let answer = self.homeserver.send(claim).await.unwrap();
            self.machine.mark_request_as_sent(&id, &answer).await.unwrap();
        }
        self.machine.share_room_key(room_id, members(), EncryptionSettings::default()).await.unwrap()
    }

    async fn send_to_device(&self, request: &ToDeviceRequest) {
        let message = send_event_to_device::v3::Request::new_raw(
            request.event_type.clone(),
            request.txn_id.clone(),
            request.messages.clone(),
        );
        let answer = self.homeserver.send(message).await.unwrap();
        self.machine.mark_request_as_sent(&request.txn_id, &answer).await.unwrap();
    }

    async fn pump(&self) {
        for request in self.machine.outgoing_requests().await.unwrap() {
            let id = request.request_id();
            match request.request() {
                AnyOutgoingRequest::KeysUpload(upload) => {
                    let answer = self.homeserver.send(upload.clone()).await.unwrap();
                    self.machine.mark_request_as_sent(id, &answer).await.unwrap();
                }
                AnyOutgoingRequest::KeysQuery(query) => {
                    let mut request = get_keys::v3::Request::new();
                    request.device_keys = query.device_keys.clone();
                    let answer = self.homeserver.send(request).await.unwrap();
                    self.machine.mark_request_as_sent(id, &answer).await.unwrap();
                }
                AnyOutgoingRequest::ToDeviceRequest(request) => self.send_to_device(request).await,
                other => panic!("not expected here: {other:?}"),
            }
        }
    }

    /// One round of `/sync`, and what follows from it.
    pub async fn sync(&mut self) {
        let mut request = sync_events::v3::Request::new();
        request.since = self.since.clone();
        // All of it: a gap would hide messages that are there.
        let mut filter = FilterDefinition::default();
        filter.room.timeline.limit = Some(TIMELINE_MAX.into());
        request.filter = Some(sync_events::v3::Filter::FilterDefinition(filter));
        request.timeout = Some(std::time::Duration::from_millis(if self.since.is_some() { 500 } else { 0 }));
        let answer = self.homeserver.send(request).await.unwrap();
        let fallback = answer.device_unused_fallback_key_types.as_deref();
        let changes = EncryptionSyncChanges {
            to_device_events: answer.to_device.events,
            changed_devices: &answer.device_lists,
            one_time_keys_counts: &answer.device_one_time_keys_count,
            unused_fallback_keys: fallback,
            next_batch_token: Some(answer.next_batch.clone()),
        };
        self.machine.receive_sync_changes(changes, &settings()).await.unwrap();
        self.since = Some(answer.next_batch);
        self.pump().await;
        for (room_id, room) in answer.rooms.join {
            for event in &room.ephemeral.events {
                let event: Value = serde_json::from_str(event.json().get()).unwrap();
                if let (Some("m.typing"), Some(users)) = (event["type"].as_str(), event["content"]["user_ids"].as_array()) {
                    self.support_types_in.insert(room_id.clone(), users.iter().any(|user| user == SUPPORT));
                }
            }
            let state = match room.state {
                sync_events::v3::State::Before(state) | sync_events::v3::State::After(state) => state.events,
                _ => Vec::new(),
            };
            for event in
                state.iter().map(|event| event.json().get()).chain(room.timeline.events.iter().map(|e| e.json().get()))
            {
                self.look_at(&room_id, event);
            }
        }
        self.decrypt().await;
    }

    fn look_at(&mut self, room_id: &OwnedRoomId, event: &str) {
        let mut json: Value = serde_json::from_str(event).unwrap();
        if json["type"] == "m.room.member" && json["state_key"] == SUPPORT {
            let membership = json["content"]["membership"].as_str().unwrap().to_owned();
            self.support_in.insert(room_id.clone(), membership);
        }
        if json["type"] == "m.room.message" && json["sender"] == SUPPORT {
            self.heard.push((room_id.clone(), SUPPORT.try_into().unwrap(), json["content"].take()));
            return;
        }
        if json["type"] == "m.room.encrypted" && json["sender"] != self.user_id.as_str() {
            let raw = serde_json::from_str(event).unwrap();
            self.waiting.push((room_id.clone(), raw));
        }
    }

    async fn decrypt(&mut self) {
        let mut still = Vec::new();
        for (room_id, event) in std::mem::take(&mut self.waiting) {
            // Fetch who the sender is before judging whether their device is signed.
            self.machine.update_tracked_users([<&UserId>::try_from(SUPPORT).unwrap()]).await.unwrap();
            self.pump().await;
            match self.machine.decrypt_room_event(&event, &room_id, &settings()).await {
                Ok(decrypted) => {
                    let json: Value = serde_json::from_str(decrypted.event.json().get()).unwrap();
                    let sender = UserId::parse(json["sender"].as_str().unwrap()).unwrap();
                    self.heard.push((room_id, sender, json["content"].clone()));
                }
                Err(_) => still.push((room_id, event)),
            }
        }
        self.waiting = still;
    }

    /// The texts support wrote in a room, in order.
    pub fn texts(&self, room_id: &OwnedRoomId) -> Vec<String> {
        let of_room = self.heard.iter().filter(|(room, _, _)| room == room_id);
        of_room.map(|(_, _, content)| content["body"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Syncs until the room has so many messages of support.
    pub async fn until_heard(&mut self, room_id: &OwnedRoomId, count: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            let texts = self.texts(room_id);
            if texts.len() >= count {
                return texts;
            }
            assert!(tokio::time::Instant::now() < deadline, "heard only {texts:?}, {} not decrypted", self.waiting.len());
            self.sync().await;
        }
    }

    /// Waits until support has a device that messages can be encrypted for: the bridge answers before that.
    pub async fn until_support_has_a_device(&self) {
        let support: OwnedUserId = SUPPORT.try_into().unwrap();
        until("support's device", || async {
            let mut request = get_keys::v3::Request::new();
            request.device_keys.insert(support.clone(), Vec::new());
            let devices = self.homeserver.send(request).await.unwrap().device_keys;
            devices.get(&support).is_some_and(|devices| !devices.is_empty()).then_some(())
        })
        .await;
    }

    /// Waits until support is seen as `presence`.
    pub async fn until_support_appears(&self, presence: &str) {
        until(&format!("support is {presence}"), || async { (self.presence_of_support().await == presence).then_some(()) })
            .await;
    }
}

fn to_device_sent() -> send_event_to_device::v3::Response {
    send_event_to_device::v3::Response::new()
}
