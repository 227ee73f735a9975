//! The one device of the support user: an end of the encryption.
//!
//! matrix-sdk-crypto's `OlmMachine` does the cryptography and keeps its state in its own store; this file carries what it
//! wants sent to the homeserver and what the homeserver pushed to it. The device is made without a login (MSC4190), named
//! in every call (MSC4326), fed from transactions (MSC4203, MSC3202), and signed by the user's own cross-signing
//! identity, without which clients stop sending keys to it (MSC4153, spec v1.18).

use std::{collections::BTreeMap, path::Path};

use appservice::{CallError, Homeserver, Identity, Transaction};
use matrix_sdk_crypto::{
    CollectStrategy, DecryptionSettings, EncryptionSettings, EncryptionSyncChanges, MegolmError, OlmMachine,
    OlmMachineBuilder, TrustRequirement,
    types::{
        events::room::encrypted::EncryptedEvent,
        requests::{AnyOutgoingRequest, OutgoingRequest, ToDeviceRequest},
    },
};
use matrix_sdk_sqlite::{SqliteCryptoStore, SqliteStoreConfig};
use ruma::{
    OwnedDeviceId, OwnedUserId, RoomId, UserId,
    api::client::{
        account::register,
        device::update_device,
        keys::{get_keys, upload_signing_keys},
        message::send_message_event,
        profile::{ProfileFieldValue, set_profile_field},
        to_device::send_event_to_device,
    },
    events::{
        AnyMessageLikeEventContent, AnyTimelineEvent,
        room::{encryption::RoomEncryptionEventContent, history_visibility::HistoryVisibility},
    },
    serde::Raw,
};

use crate::store::{Room, Store};

/// How often requests are asked for in one go: answers to some make others due (a key query, then a claim).
const PUMP_ROUNDS_MAX: usize = 8;

/// Why the device could not do something.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The homeserver's answer, or none.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The encryption machine or its store. What it says may name users and devices, so it isn't part of the text.
    #[error("the encryption machine failed (its words are in the log at level debug)")]
    Crypto(String),
    /// The bridge's own rows.
    #[error(transparent)]
    Store(#[from] crate::database::StoreError),
    /// The room is not encrypted; nothing is ever sent in the clear instead.
    #[error("the room is not encrypted")]
    NotEncrypted,
}

fn crypto(error: impl std::fmt::Display) -> DeviceError {
    let error = error.to_string();
    tracing::debug!(error, "encryption machine");
    DeviceError::Crypto(error)
}

/// What became of an attempt to read an event.
#[derive(Debug)]
pub enum Decrypted {
    /// It is readable.
    Event(Raw<AnyTimelineEvent>),
    /// Its key has not come yet.
    KeyMissing,
    /// It will never be readable.
    Never,
}

/// The device.
pub struct Device {
    machine: OlmMachine,
    homeserver: Homeserver,
    decryption: DecryptionSettings,
}

/// Who the device is to be.
pub struct DeviceOptions<'a> {
    /// The support user.
    pub user_id: OwnedUserId,
    /// What people see it called.
    pub display_name: &'a str,
    /// The folder of the encryption store.
    pub folder: &'a Path,
    /// The key it is sealed with.
    pub store_key: &'a [u8],
}

impl Device {
    /// Makes the user and the device, or finds them as they are; every step may have been done before.
    pub async fn set_up(homeserver: &Homeserver, store: &Store, options: DeviceOptions<'_>) -> Result<Self, DeviceError> {
        let user_id = options.user_id;
        register_user(homeserver, &user_id).await?;
        // The id is a row before the device exists, so that a crash in between doesn't leave a second device behind.
        let device_id: OwnedDeviceId = store.fact_or("device_id", new_device_id()?).await?.into();
        let as_user = homeserver.acting_as(Identity { user_id: Some(user_id.clone()), device_id: None });
        let mut make_device = update_device::v3::Request::new(device_id.clone());
        make_device.display_name = Some("Support bridge".to_owned());
        as_user.send(make_device).await?;

        let config = SqliteStoreConfig::with_low_memory_config(options.folder).key(Some(options.store_key));
        let crypto_store = SqliteCryptoStore::open_with_config(&config).await.map_err(crypto)?;
        let machine =
            OlmMachineBuilder::new(&user_id, &device_id).with_crypto_store(crypto_store).build().await.map_err(crypto)?;
        let identity = Identity { user_id: Some(user_id.clone()), device_id: Some(device_id) };
        let device = Self {
            machine,
            homeserver: homeserver.acting_as(identity),
            // Participants' first device may be signed moments after its first message: reading waits for nothing.
            decryption: DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted },
        };
        if store.fact("cross_signed").await?.is_none() {
            device.cross_sign().await?;
            store.fact_or("cross_signed", "yes".to_owned()).await?;
        }
        // What was missed while away is asked for anew.
        device.machine.mark_all_tracked_users_as_dirty().await.map_err(crypto)?;
        device.pump().await?;
        let name = ProfileFieldValue::DisplayName(options.display_name.to_owned());
        as_user.send(set_profile_field::v3::Request::new(user_id, name)).await?;
        Ok(device)
    }

    /// The homeserver, called as this user and device.
    pub fn homeserver(&self) -> &Homeserver {
        &self.homeserver
    }

    /// The support user.
    pub fn user_id(&self) -> &UserId {
        self.machine.user_id()
    }

    /// The device's id.
    pub fn device_id(&self) -> &ruma::DeviceId {
        self.machine.device_id()
    }

    /// Publishes the cross-signing identity and signs the device with it; MSC4190 asks for no password.
    async fn cross_sign(&self) -> Result<(), DeviceError> {
        let requests = self.machine.bootstrap_cross_signing(false).await.map_err(crypto)?;
        if let Some(request) = requests.upload_keys_req {
            self.send(&request).await?;
        }
        let keys = requests.upload_signing_keys_req;
        let mut request = upload_signing_keys::v3::Request::new();
        request.master_key = keys.master_key.map(|key| key.to_raw());
        request.self_signing_key = keys.self_signing_key.map(|key| key.to_raw());
        request.user_signing_key = keys.user_signing_key.map(|key| key.to_raw());
        let response = self.homeserver.send(request).await?;
        let request_id = ruma::TransactionId::new();
        self.machine
            .mark_request_as_sent(
                &request_id,
                matrix_sdk_crypto::types::requests::AnyIncomingResponse::SigningKeysUpload(&response),
            )
            .await
            .map_err(crypto)?;
        self.homeserver.send(requests.upload_signatures_req).await?;
        tracing::info!("the support device is cross-signed");
        Ok(())
    }

    /// Takes what a transaction holds for this device. May be done twice with the same transaction: the machine knows
    /// the messages it has decrypted.
    pub async fn receive(&self, transaction: &Transaction) -> Result<(), DeviceError> {
        let (user_id, device_id) = (self.machine.user_id(), self.machine.device_id());
        let to_device_events = transaction
            .to_device
            .iter()
            .filter(|event| event.to_user_id == user_id && event.to_device_id == device_id)
            .map(|event| event.event.clone())
            .collect();
        let counts = transaction.one_time_keys_count.get(user_id).and_then(|devices| devices.get(device_id));
        let fallback = transaction.unused_fallback_key_types.get(user_id).and_then(|devices| devices.get(device_id));
        let no_counts = BTreeMap::new();
        let changes = EncryptionSyncChanges {
            to_device_events,
            changed_devices: &transaction.device_lists,
            one_time_keys_counts: counts.unwrap_or(&no_counts),
            unused_fallback_keys: fallback.map(Vec::as_slice),
            next_batch_token: None,
        };
        // The sliding-sync reading of counts, in which a missing one means "as before", is the one of transactions too.
        self.machine.receive_sync_changes_msc4186(changes, &self.decryption).await.map_err(crypto)?;
        Ok(())
    }

    /// Sends what the machine wants sent: keys, key queries, answers.
    pub async fn pump(&self) -> Result<(), DeviceError> {
        for _ in 0..PUMP_ROUNDS_MAX {
            let requests = self.machine.outgoing_requests().await.map_err(crypto)?;
            let claim = self.machine.get_missing_sessions(std::iter::empty()).await.map_err(crypto)?;
            if requests.is_empty() && claim.is_none() {
                return Ok(());
            }
            for request in requests {
                self.send(&request).await?;
            }
            if let Some((request_id, request)) = claim {
                let response = self.homeserver.send(request).await?;
                self.machine.mark_request_as_sent(&request_id, &response).await.map_err(crypto)?;
            }
        }
        Ok(())
    }

    async fn send(&self, request: &OutgoingRequest) -> Result<(), DeviceError> {
        let request_id = request.request_id();
        match request.request() {
            AnyOutgoingRequest::KeysUpload(request) => {
                let response = self.homeserver.send(request.clone()).await?;
                self.machine.mark_request_as_sent(request_id, &response).await
            }
            AnyOutgoingRequest::KeysQuery(request) => {
                let mut query = get_keys::v3::Request::new();
                query.timeout = request.timeout;
                query.device_keys = request.device_keys.clone();
                let response = self.homeserver.send(query).await?;
                self.machine.mark_request_as_sent(request_id, &response).await
            }
            AnyOutgoingRequest::KeysClaim(request) => {
                let response = self.homeserver.send(request.clone()).await?;
                self.machine.mark_request_as_sent(request_id, &response).await
            }
            AnyOutgoingRequest::ToDeviceRequest(request) => return self.send_to_device(request).await,
            AnyOutgoingRequest::SignatureUpload(request) => {
                let response = self.homeserver.send(request.clone()).await?;
                self.machine.mark_request_as_sent(request_id, &response).await
            }
            AnyOutgoingRequest::RoomMessage(request) => {
                let message =
                    send_message_event::v3::Request::new(request.room_id.clone(), request.txn_id.clone(), &*request.content)
                        .map_err(crypto)?;
                let response = self.homeserver.send(message).await?;
                self.machine.mark_request_as_sent(request_id, &response).await
            }
        }
        .map_err(crypto)
    }

    async fn send_to_device(&self, request: &ToDeviceRequest) -> Result<(), DeviceError> {
        let message = send_event_to_device::v3::Request::new_raw(
            request.event_type.clone(),
            request.txn_id.clone(),
            request.messages.clone(),
        );
        let response = self.homeserver.send(message).await?;
        self.machine.mark_request_as_sent(&request.txn_id, &response).await.map_err(crypto)
    }

    /// Watches the devices of these users from now on.
    pub async fn watch<'a>(&self, users: impl Iterator<Item = &'a str>) -> Result<(), DeviceError> {
        let users: Vec<OwnedUserId> = users.filter_map(|user| user.try_into().ok()).collect();
        self.machine.update_tracked_users(users.iter().map(AsRef::as_ref)).await.map_err(crypto)
    }

    /// Reads an encrypted event.
    pub async fn decrypt(&self, room_id: &str, json: &str) -> Result<Decrypted, DeviceError> {
        let (Ok(room_id), Ok(event)) = (<&RoomId>::try_from(room_id), serde_json::from_str::<Raw<EncryptedEvent>>(json))
        else {
            return Ok(Decrypted::Never);
        };
        match self.machine.decrypt_room_event(&event, room_id, &self.decryption).await {
            Ok(decrypted) => Ok(Decrypted::Event(decrypted.event)),
            // Also when the sender's client says that it withheld the key: it may think better of it.
            Err(MegolmError::MissingRoomKey(_)) => Ok(Decrypted::KeyMissing),
            Err(MegolmError::Decryption(vodozemac_error)) if is_too_early(&vodozemac_error) => Ok(Decrypted::KeyMissing),
            Err(MegolmError::Store(error)) => Err(crypto(error)),
            Err(_) => Ok(Decrypted::Never),
        }
    }

    /// Encrypts a message for everybody in the room, sharing the room's key first with whoever lacks it.
    ///
    /// May be done again for the same message after a crash: the homeserver takes only one, by its transaction id.
    pub async fn encrypt(
        &self,
        room: &Room,
        event_type: &str,
        content: &Raw<AnyMessageLikeEventContent>,
    ) -> Result<Raw<AnyMessageLikeEventContent>, DeviceError> {
        let encryption: RoomEncryptionEventContent = room
            .encryption
            .as_deref()
            .and_then(|content| serde_json::from_str(content).ok())
            .ok_or(DeviceError::NotEncrypted)?;
        let visibility = room.history_visibility.as_deref().map_or(HistoryVisibility::Joined, Into::into);
        // All devices: a participant's page signs its device moments after making it, and a message sent in between
        // would be lost to it. `docs/security.md` says what that means.
        let settings = EncryptionSettings::new(encryption, visibility, CollectStrategy::AllDevices);
        let room_id = <&RoomId>::try_from(room.room_id.as_str()).map_err(crypto)?;
        let users: Vec<OwnedUserId> = room.recipients().filter_map(|user| user.try_into().ok()).collect();
        let users = || users.iter().map(AsRef::as_ref);
        self.machine.update_tracked_users(users()).await.map_err(crypto)?;
        self.pump().await?;
        if let Some((request_id, claim)) = self.machine.get_missing_sessions(users()).await.map_err(crypto)? {
            let response = self.homeserver.send(claim).await?;
            self.machine.mark_request_as_sent(&request_id, &response).await.map_err(crypto)?;
        }
        for request in self.machine.share_room_key(room_id, users(), settings).await.map_err(crypto)? {
            self.send_to_device(&request).await?;
        }
        let encrypted = self.machine.encrypt_room_event_raw(room_id, event_type, content).await.map_err(crypto)?;
        Ok(encrypted.content.cast_unchecked())
    }
}

/// The key is there, but only for later messages: an earlier version of it may still come.
fn is_too_early(error: &matrix_sdk_crypto::vodozemac::megolm::DecryptionError) -> bool {
    matches!(error, matrix_sdk_crypto::vodozemac::megolm::DecryptionError::UnknownMessageIndex(..))
}

/// Registers the support user unless it exists (Application Service API v1.17, "Server admin style permissions").
async fn register_user(homeserver: &Homeserver, user_id: &UserId) -> Result<(), DeviceError> {
    let mut request = register::v3::Request::new();
    request.username = Some(user_id.localpart().to_owned());
    request.login_type = Some(register::LoginType::ApplicationService);
    request.inhibit_login = true;
    match homeserver.send(request).await {
        Ok(_) => Ok(()),
        Err(error) if error.errcode() == Some("M_USER_IN_USE") => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ten letters, as other clients make them.
fn new_device_id() -> Result<String, DeviceError> {
    let mut bytes = [0_u8; 10];
    getrandom::fill(&mut bytes).map_err(crypto)?;
    Ok(bytes.iter().map(|byte| char::from(b'A' + byte % 26)).collect())
}
