//! What one `PUT /_matrix/app/v1/transactions/{txnId}` carries.

use std::collections::BTreeMap;

use ruma::{
    OneTimeKeyAlgorithm, OwnedDeviceId, OwnedUserId, UInt,
    api::client::sync::sync_events::DeviceLists,
    events::{AnyTimelineEvent, AnyToDeviceEvent},
    serde::Raw,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// A count or list for each device of each user the application service plays.
pub type PerDevice<T> = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, T>>;

/// A to-device event with the device it is meant for (MSC4203).
#[derive(Clone, Debug)]
pub struct ToDevice {
    /// The user it is meant for.
    pub to_user_id: OwnedUserId,
    /// The device it is meant for.
    pub to_device_id: OwnedDeviceId,
    /// The event, with the two fields above still in it.
    pub event: Raw<AnyToDeviceEvent>,
}

/// A transaction, parsed. Each field is read under its stable name or any of the names it had while it was proposed; when
/// a homeserver sends several, the stable one counts.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Timeline and state events, oldest first.
    pub events: Vec<Raw<AnyTimelineEvent>>,
    /// Typing, receipts and presence (MSC2409), as the homeserver sent them.
    pub ephemeral: Vec<Box<RawValue>>,
    /// To-device events (MSC4203). Those that name no recipient are left out: they can't be for anybody.
    pub to_device: Vec<ToDevice>,
    /// Whose devices changed, and who no longer shares a room (MSC3202).
    pub device_lists: DeviceLists,
    /// One-time keys left on the server (MSC3202). A device that is not mentioned has as many as before.
    pub one_time_keys_count: PerDevice<BTreeMap<OneTimeKeyAlgorithm, UInt>>,
    /// Fallback keys not used yet (MSC3202). A device that is not mentioned is as before.
    pub unused_fallback_key_types: PerDevice<Vec<OneTimeKeyAlgorithm>>,
}

const EPHEMERAL: &[&str] = &["ephemeral", "de.sorunome.msc2409.ephemeral"];
const TO_DEVICE: &[&str] = &["to_device", "de.sorunome.msc2409.to_device"];
const DEVICE_LISTS: &[&str] = &["device_lists", "org.matrix.msc3202.device_lists"];
const ONE_TIME_KEYS_COUNT: &[&str] = &[
    "device_one_time_keys_count",
    "org.matrix.msc3202.device_one_time_keys_count",
    // The first spelling of the proposal; homeservers still send it beside the other.
    "org.matrix.msc3202.device_one_time_key_counts",
];
const UNUSED_FALLBACK_KEY_TYPES: &[&str] =
    &["device_unused_fallback_key_types", "org.matrix.msc3202.device_unused_fallback_key_types"];

impl Transaction {
    /// Parses the body of a transaction.
    ///
    /// # Errors
    /// When the body isn't a JSON object or a known field has another shape than specified.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body)?;
        let to_device: Vec<Box<RawValue>> = read(&fields, TO_DEVICE)?;
        Ok(Self {
            events: read(&fields, &["events"])?,
            ephemeral: read(&fields, EPHEMERAL)?,
            to_device: to_device.into_iter().filter_map(ToDevice::read).collect(),
            device_lists: read(&fields, DEVICE_LISTS)?,
            one_time_keys_count: read(&fields, ONE_TIME_KEYS_COUNT)?,
            unused_fallback_key_types: read(&fields, UNUSED_FALLBACK_KEY_TYPES)?,
        })
    }
}

impl ToDevice {
    fn read(event: Box<RawValue>) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Recipient {
            to_user_id: OwnedUserId,
            to_device_id: OwnedDeviceId,
        }
        let Recipient { to_user_id, to_device_id } = serde_json::from_str(event.get()).ok()?;
        Some(Self { to_user_id, to_device_id, event: Raw::from_json(event) })
    }
}

fn read<T: DeserializeOwned + Default>(
    fields: &BTreeMap<String, Box<RawValue>>,
    names: &[&str],
) -> Result<T, serde_json::Error> {
    names
        .iter()
        .find_map(|name| fields.get(*name))
        .map_or_else(|| Ok(T::default()), |value| serde_json::from_str(value.get()))
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, user_id};
    use serde_json::json;

    use super::*;

    fn parse(body: &serde_json::Value) -> Transaction {
        Transaction::parse(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn both_spellings_say_the_same() {
        let event = json!({"type": "m.room.encrypted", "sender": "@a:x", "content": {},
            "to_user_id": "@support:x", "to_device_id": "D"});
        let lists = json!({"changed": ["@a:x"], "left": ["@b:x"]});
        let counts = json!({"@support:x": {"D": {"signed_curve25519": 7}}});
        let fallback = json!({"@support:x": {"D": ["signed_curve25519"]}});
        let typing = json!({"type": "m.typing", "room_id": "!r:x", "content": {"user_ids": []}});
        let stable = json!({"events": [], "ephemeral": [typing], "to_device": [event], "device_lists": lists,
            "device_one_time_keys_count": counts, "device_unused_fallback_key_types": fallback});
        let unstable = json!({"events": [], "de.sorunome.msc2409.ephemeral": [typing],
            "de.sorunome.msc2409.to_device": [event], "org.matrix.msc3202.device_lists": lists,
            "org.matrix.msc3202.device_one_time_key_counts": counts,
            "org.matrix.msc3202.device_unused_fallback_key_types": fallback});
        let mut both = stable.clone();
        both.as_object_mut().unwrap().extend(unstable.as_object().unwrap().clone());
        for body in [stable, unstable, both] {
            let transaction = parse(&body);
            assert_eq!(transaction.ephemeral.len(), 1);
            assert_eq!(transaction.to_device.len(), 1);
            assert_eq!(transaction.to_device[0].to_user_id, user_id!("@support:x"));
            assert_eq!(transaction.device_lists.left, [user_id!("@b:x").to_owned()]);
            let counts = &transaction.one_time_keys_count[user_id!("@support:x")][device_id!("D")];
            assert_eq!(counts[&OneTimeKeyAlgorithm::SignedCurve25519], UInt::from(7_u8));
            assert_eq!(
                transaction.unused_fallback_key_types[user_id!("@support:x")][device_id!("D")],
                [OneTimeKeyAlgorithm::SignedCurve25519]
            );
        }
    }

    #[test]
    fn an_empty_transaction_and_an_unknown_field_are_fine() {
        let transaction = parse(&json!({"events": [], "org.example.new": 1}));
        assert!(transaction.events.is_empty() && transaction.device_lists.is_empty());
    }

    #[test]
    fn a_to_device_event_for_nobody_is_left_out() {
        let transaction = parse(&json!({"events": [], "to_device": [{"type": "m.dummy", "content": {}}]}));
        assert!(transaction.to_device.is_empty());
    }

    #[test]
    fn another_shape_is_an_error() {
        for body in ["[]", "{\"events\": 1}", "{\"events\": [], \"device_lists\": 1}", "{"] {
            assert!(Transaction::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
